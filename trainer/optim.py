"""One flat gradient buffer, and AdamW over the ranker's parameters with its state by parameter name."""

import torch
from torch import Tensor, nn

from trainer.communicator import Communicator
from trainer.config import OptimizerConfig

LOSS, WEIGHT, FAULTS, TOKENS, ROWS = 0, 1, 2, 3, 4
"""What travels behind the gradient: loss sum, weight sum, ranks at fault, tokens, then the rows of each rank."""


class FlatGradient:
    """Every parameter's `.grad` is a view into one buffer, so the step reduces, scales and clips a single tensor.

    `buffer` [P + 4 + W], float32: the gradient of the loss SUM over P parameters, then the extras of a world of W ranks.
    """

    def __init__(self, parameters: list[nn.Parameter], world_size: int) -> None:
        self.size = sum(parameter.numel() for parameter in parameters)
        device = parameters[0].device if parameters else torch.device("cpu")
        self.buffer = torch.zeros(self.size + ROWS + world_size, device=device)
        start = 0
        for parameter in parameters:
            parameter.grad = self.buffer[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    @property
    def gradient(self) -> Tensor:
        return self.buffer[: self.size]

    @property
    def extras(self) -> Tensor:
        return self.buffer[self.size :]

    def zero(self) -> None:
        self.buffer.zero_()

    def reduce(self, communicator: Communicator) -> None:
        """Sums over all ranks: one collective, or two where gradients travel compressed."""
        if communicator.lossy:
            communicator.allreduce_sum(self.gradient, lossy=True)
            communicator.allreduce_sum(self.extras)
        else:
            communicator.allreduce_sum(self.buffer)

    def divide(self, weight: float) -> None:
        """The gradient of the mean over all ranks' weights; untouched where there was no weight at all."""
        if weight > 0:
            self.gradient.div_(weight)

    def clip(self, most: float) -> float:
        """Scales the gradient to a global L2 norm of at most `most`; returns the norm it had."""
        norm = float(torch.linalg.vector_norm(self.gradient))
        if norm > most:
            self.gradient.mul_(most / norm)
        return norm


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by name, in the module's own fixed order: the same on every rank and after a resume."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices that are no lookup tables; the learning rate is set before each step."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    decayed = [p for p in trainable(model).values() if p.ndim >= 2 and id(p) not in tables]
    plain = [p for p in trainable(model).values() if p.ndim < 2 or id(p) in tables]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=betas, eps=config.epsilon, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `<parameter>/<exp_avg | exp_avg_sq | step>`; empty before the first step."""
    return {
        f"{name}/{key}": value
        for name, parameter in trainable(model).items()
        for key, value in sorted(optimizer.state.get(parameter, {}).items())
    }


def load_optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Sets the state that `optimizer_tensors` gave; parameters without an entry start afresh."""
    optimizer.state.clear()
    for name, parameter in trainable(model).items():
        found = {key: tensors[f"{name}/{key}"] for key in ("exp_avg", "exp_avg_sq", "step") if f"{name}/{key}" in tensors}
        if found:
            step = found.pop("step").to(torch.float32).clone()
            state = {key: value.to(parameter.device, torch.float32).clone() for key, value in found.items()}
            optimizer.state[parameter] = {"step": step.to(parameter.device), **state}
