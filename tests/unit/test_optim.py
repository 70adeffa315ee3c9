import pytest
import torch
from torch import nn

from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.loop.optim import LOSS, ROWS, WEIGHT, AdamW, FlatGradient, divisor, trainable
from nightrank.trainer.ranks.communicator import SingleProcess


def model() -> nn.Module:
    torch.manual_seed(3)
    return nn.ModuleDict({"table": nn.Embedding(5, 4), "layer": nn.Linear(4, 3), "norm": nn.LayerNorm(3)})


def loss_of(net: nn.Module, step: int) -> torch.Tensor:
    ids = torch.tensor([step % 5, 1])
    return (net["norm"](net["layer"](net["table"](ids))) * torch.tensor([1.0, 2.0, -1.0])).square().sum()


def test_our_adamw_takes_the_steps_of_torch():
    config = OptimizerConfig(weight_decay=0.1, table_decay=0.3)
    ours, theirs = model(), model()
    mine = AdamW(ours, config)
    flat = FlatGradient(list(trainable(ours).values()), 1)
    groups = [
        {"params": [theirs["layer"].weight], "weight_decay": 0.1},
        {"params": [theirs["table"].weight], "weight_decay": 0.3},
        {"params": [theirs["layer"].bias, *theirs["norm"].parameters()], "weight_decay": 0.0},
    ]
    torchs = torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), eps=config.epsilon)
    for step in range(8):
        flat.zero()
        loss_of(ours, step).backward()
        mine.step(0.01 / (step + 1))
        torchs.zero_grad()
        loss_of(theirs, step).backward()
        for group in torchs.param_groups:
            group["lr"] = 0.01 / (step + 1)
        torchs.step()
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name, rtol=1e-5, atol=1e-7)


def test_its_state_goes_out_and_in_again_bit_for_bit():
    net = model()
    first = AdamW(net, OptimizerConfig())
    FlatGradient(list(trainable(net).values()), 1)
    assert first.fresh
    loss_of(net, 0).backward()
    first.step(0.1)
    second = AdamW(net, OptimizerConfig())
    second.load(first.tensors())
    assert not second.fresh
    assert {key: value.tolist() for key, value in second.tensors().items()} == {
        key: value.tolist() for key, value in first.tensors().items()
    }


def test_every_gradient_is_a_view_of_the_flat_buffer_and_extras_stand_behind_it():
    net = model()
    flat = FlatGradient(list(trainable(net).values()), 2)
    loss_of(net, 0).backward()
    run_on_all_ranks = torch.cat([p.grad.flatten() for p in trainable(net).values()])
    assert torch.equal(flat.gradient, run_on_all_ranks)
    assert len(flat.extras) == ROWS + 2
    flat.extras[LOSS], flat.extras[WEIGHT] = 6.0, 2.0
    flat.reduce(SingleProcess())
    assert torch.equal(flat.gradient, run_on_all_ranks)
    assert float(flat.extras[LOSS]) == 6.0


@pytest.mark.parametrize(
    ("values", "weight", "divided"),
    [([6.0, 8.0], 2.0, [0.6, 0.8]), ([0.6, 0.8], 2.0, [0.3, 0.4]), ([0.6, 0.8], 0.5, [0.6, 0.8])],
    ids=["mean too long", "mean short enough", "a weight below one"],
)
def test_the_mean_is_clipped_to_the_global_norm_and_small_ones_are_left_alone(values, weight, divided):
    flat = FlatGradient([nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))], 1)
    flat.gradient.copy_(torch.tensor(values))
    assert (flat.gradient / divisor(flat.norm(), weight, most=1.0)).tolist() == pytest.approx(divided)


def test_adamw_divides_as_it_goes_bit_for_bit():
    ends = []
    for fused in (True, False):
        net = model()
        optimizer, flat = AdamW(net, OptimizerConfig()), FlatGradient(list(trainable(net).values()), 1)
        for step in range(3):
            flat.zero()
            loss_of(net, step).backward()
            if not fused:
                flat.gradient.div_(7.3)
            optimizer.step(0.01, 7.3 if fused else 1.0)
        ends.append((net.state_dict(), flat.gradient))
    assert torch.equal(ends[0][1], ends[1][1])
    assert all(torch.equal(value, ends[1][0][name]) for name, value in ends[0][0].items())
