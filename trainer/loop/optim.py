"""One flat gradient buffer, and AdamW over the ranker's parameters."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from nightrank.ranker.private_torch import AdamWStep, AdamWTensors, adamw_
from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.ranks.communicator import Communicator

LOSS, WEIGHT, FAULTS, TOKENS, ROWS = 0, 1, 2, 3, 4
"""What travels behind the gradient: loss sum, weight sum, ranks at fault, tokens, then the rows of each rank."""

PIECE: Final = 1 << 20
"""Values of a gradient that are widened at once."""


class FlatGradient:
    """Every parameter's `.grad` is a view into one buffer, so the step reduces and measures a single tensor.

    `gradient` [P], in the parameters' one type: the gradient of the loss SUM over P parameters. `extras` [4 + W + more],
    float32, for a world of W ranks: behind the gradient in one `buffer` where that is float32 too, so that both travel in one
    collective.
    """

    def __init__(self, parameters: list[nn.Parameter], world_size: int, more: int = 0) -> None:
        self.size = sum(parameter.numel() for parameter in parameters)
        device = parameters[0].device if parameters else torch.device("cpu")
        kind = parameters[0].dtype if parameters else torch.float32
        extras = ROWS + world_size + more
        self.buffer = torch.zeros(self.size + (extras if kind == torch.float32 else 0), device=device, dtype=kind)
        self.gradient = self.buffer[: self.size]
        self.extras = self.buffer[self.size :] if kind == torch.float32 else torch.zeros(extras, device=device)
        start = 0
        for parameter in parameters:
            parameter.grad = self.buffer[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    def zero(self) -> None:
        self.gradient.zero_()
        self.extras.zero_()

    def reduce(self, communicator: Communicator) -> None:
        """Sums over all ranks: one collective, or two where gradients travel in 16 bits."""
        if communicator.lossy or self.buffer.dtype != torch.float32:
            communicator.allreduce_sum(self.gradient, lossy=True)
            communicator.allreduce_sum(self.extras)
        else:
            communicator.allreduce_sum(self.buffer)

    def divide(self, weight: float) -> None:
        self.gradient.div_(weight)

    def norm(self) -> float:
        """Global L2 norm, summed in fp32. A gradient in bf16 is widened piece by piece, not as a whole."""
        whole = self.gradient.dtype == torch.float32
        parts = [self.gradient] if whole else self.gradient.split(PIECE)
        norms = torch.stack([torch.linalg.vector_norm(part.float()) for part in parts])
        return float(norms if whole else torch.linalg.vector_norm(norms))


def divisor(norm: float, weight: float, most: float) -> float:
    """What the gradient of a loss sum, of this norm, is to be divided by: the weight, for the gradient of the mean; and as much
    again as brings that to a norm of at most `most`."""
    return max(weight, norm / most)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by name, in the module's own fixed order: the same on every rank and after a resume."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class AdamW:
    """AdamW (Loshchilov & Hutter 2019) by torch's fused kernel, its state by parameter name.

    Weight decay is on matrices; lookup tables have their own, and what has fewer dimensions none. `torch.optim` is left out on
    purpose: its first step imports the whole compiler stack, three times what torch itself costs, in every worker.
    """

    per_weight: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    """What is kept for each weight, in its type."""
    apart = False
    """Ranks may hold different weights now."""
    local = False
    """Each rank steps by its own gradient."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self._config = config
        self._parameters = trainable(model)
        tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
        looked_up = {name for name, p in self._parameters.items() if id(p) in tables}
        matrices = {name for name, p in self._parameters.items() if p.ndim >= 2} - looked_up
        kinds = [
            (matrices, config.weight_decay),
            (looked_up, config.table_decay),
            (self._parameters.keys() - matrices - looked_up, 0.0),
        ]
        texts = {name for name in self._parameters if name.startswith(getattr(model, "pretrained", ()))}
        self._groups = [(sorted(names - texts), decay, 1.0) for names, decay in kinds]
        self._groups += [(sorted(names & texts), decay, config.text_rate) for names, decay in kinds]
        self._moments: dict[str, Tensor] = {}
        self.load({})

    def step(self, rate: float, divisor: float = 1.0) -> None:
        """Moves every parameter by its `.grad` / divisor; the kernel leaves the quotient in `.grad`."""
        config = self._config
        for names, decay, share in self._groups:
            if not names:
                continue
            steps = self._of(names, "step")
            for step in steps:
                step.add_(1)
            self._move(names, AdamWStep(rate * share, config.beta1, config.beta2, decay, config.epsilon, divisor))

    def _move(self, names: list[str], step: AdamWStep) -> None:
        tensors = AdamWTensors(
            [self._parameters[name] for name in names],
            [self._gradient(name) for name in names],
            self._of(names, "exp_avg"),
            self._of(names, "exp_avg_sq"),
            self._of(names, "step"),
        )
        adamw_(tensors, step)

    def end_step(self, communicator: Communicator, rate: float, last: bool = False) -> None:
        """Nothing: ranks took the same step."""

    @property
    def fresh(self) -> bool:
        """No step was taken yet, by any parameter."""
        return not any(float(value) for name, value in self._moments.items() if name.endswith("/step"))

    def tensors(self) -> dict[str, Tensor]:
        """The state as `<parameter>/<exp_avg | exp_avg_sq | step>`; the tensors themselves, not copies."""
        return dict(self._moments)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the values that `tensors` gave; a parameter without an entry starts afresh."""
        for name, parameter in self._parameters.items():
            empty = {**dict.fromkeys(self.per_weight, parameter), "step": torch.zeros(())}
            for key, like in empty.items():
                place, kind = f"{name}/{key}", like.dtype
                value = tensors.get(place, torch.zeros(like.shape, dtype=kind))
                self._moments[place] = value.detach().to(parameter.device, kind, copy=True)

    def _gradient(self, name: str) -> Tensor:
        gradient = self._parameters[name].grad
        assert gradient is not None
        return gradient

    def _of(self, names: list[str], key: str) -> list[Tensor]:
        return [self._moments[f"{name}/{key}"] for name in names]
