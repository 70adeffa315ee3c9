"""AnyPrecisionAdamW and SlowMo beside the formulas of their papers, written out value by value."""

import math
from dataclasses import replace

import pytest
import torch

from nightrank.ranker.private_torch import AdamWStep, AdamWTensors, public_adamw_
from nightrank.trainer.distx import anyprecision
from nightrank.trainer.distx.anyprecision import Half, anyprecision_adamw_
from nightrank.trainer.distx.slowmo import SlowMo

STEP = AdamWStep(rate=0.01, beta1=0.9, beta2=0.98, decay=0.1, epsilon=1e-8, divisor=2.0)


def bf16(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float32).bfloat16())


def half_of(values: list[float]) -> Half:
    parameter = torch.tensor(values).bfloat16()
    return Half(parameter, torch.zeros_like(parameter), *(torch.zeros_like(parameter) for _ in range(3)))


def by_hand(w: float, gradients: list[float], step: AdamWStep) -> tuple[float, float, float, float]:
    """One value through Algorithm 2 of AdamW with bf16 storage, and Kahan's sum of its updates, in Python's doubles."""
    w, m, v, c = bf16(w), 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        g = bf16(g) / step.divisor
        mean, square = step.beta1 * m + (1 - step.beta1) * g, step.beta2 * v + (1 - step.beta2) * g * g
        m_hat, v_hat = mean / (1 - step.beta1**t), square / (1 - step.beta2**t)
        update = -step.rate * m_hat / (math.sqrt(v_hat) + step.epsilon) - step.rate * step.decay * w
        wanted = w + c + update
        w, c = bf16(wanted), bf16(wanted - bf16(wanted))
        m, v = bf16(mean), bf16(square)
    return w, m, v, c


def test_anyprecision_adamw_is_its_formula(monkeypatch):
    monkeypatch.setattr(anyprecision, "PIECE", 2)
    values = [0.5, -1.25, 3.0, 0.01, 100.0]
    gradients = torch.randn(6, len(values), generator=torch.Generator().manual_seed(1))
    half = half_of(values)
    for t, g in enumerate(gradients, 1):
        half.gradient.copy_(g)
        anyprecision_adamw_(half, STEP, t)
    for place, value in enumerate(values):
        expected = by_hand(value, gradients[:, place].tolist(), STEP)
        found = [float(t[place]) for t in (half.parameter, half.mean, half.square, half.residue)]
        assert found == pytest.approx(expected, rel=2**-7, abs=2**-16)
        assert found[0] == expected[0]


def test_updates_smaller_than_a_digit_of_bf16_are_not_lost():
    """Each moves the weight by 1e-5 of it, a four-hundredth of bf16's digit; together they come near those of fp32. Moments in
    bf16 stop short of where those of fp32 go: a change of less than half a digit is rounded away."""
    step = AdamWStep(rate=1e-5, beta1=0.9, beta2=0.98, decay=0.0, epsilon=1e-8)
    half, exact = half_of([1.0]), torch.tensor([1.0])
    moments, steps = [torch.zeros(1), torch.zeros(1)], torch.tensor(0.0)
    naive = torch.tensor([1.0]).bfloat16()
    for t in range(1, 1001):
        half.gradient.fill_(0.5)
        anyprecision_adamw_(half, step, t)
        steps += 1
        public_adamw_(AdamWTensors([exact], [torch.tensor([0.5])], [moments[0]], [moments[1]], [steps]), step)
        naive -= torch.tensor(1e-5)
    assert float(exact) == pytest.approx(0.99, abs=1e-4)
    assert float(half.parameter.float() + half.residue.float()) == pytest.approx(float(exact), abs=1.2e-3)
    without = replace(half_of([1.0]), residue=None)
    without.gradient.fill_(0.5)
    anyprecision_adamw_(without, step, 1)
    assert float(naive) == float(without.parameter) == 1.0


def test_slowmo_is_algorithm_1():
    """Two ranks, three inner steps of plain SGD each, twice; beside the paper's lines for one value."""
    alpha, beta, gamma, tau = 0.7, 0.5, 0.1, 3
    gradients = torch.randn(2, 2 * tau, generator=torch.Generator().manual_seed(3)).tolist()
    ranks = [{"w": torch.tensor([1.0])} for _ in range(2)]
    outer = [SlowMo(parameters, tau, beta, alpha) for parameters in ranks]
    x0, u = 1.0, 0.0
    for block in range(2):
        ends = []
        for rank in range(2):
            x = x0
            for k in range(tau):
                g = gradients[rank][block * tau + k]
                x -= gamma * g
                ranks[rank]["w"] -= gamma * g
                outer[rank].stepped()
                assert outer[rank].due == (k == tau - 1)
            ends.append(x)
        mean = torch.stack([parameters["w"] for parameters in ranks]).mean(0)
        for each in outer:
            each.meet(lambda tensor, mean=mean: tensor.copy_(mean), gamma)
        u = beta * u + (x0 - sum(ends) / 2) / gamma
        x0 = x0 - alpha * gamma * u
        assert [float(parameters["w"]) for parameters in ranks] == pytest.approx([x0, x0], rel=1e-6)
        assert float(outer[0].tensors()["w/slow_momentum"]) == pytest.approx(u, rel=1e-5)


def test_without_momentum_slowmo_is_the_average():
    parameters = {"w": torch.tensor([4.0])}
    outer = SlowMo(parameters, 1, 0.0, 1.0)
    parameters["w"] += 1
    outer.meet(lambda tensor: tensor.mul_(2), 0.5)
    assert float(parameters["w"]) == 10.0


def test_slowmo_resumes_with_its_momentum():
    first, second = {"w": torch.tensor([1.0])}, {"w": torch.tensor([1.0])}
    outer = SlowMo(first, 1, 0.9, 1.0)
    first["w"] -= 0.2
    outer.meet(lambda tensor: None, 0.1)
    second["w"].copy_(first["w"])
    resumed = SlowMo(second, 1, 0.9, 1.0)
    resumed.load({key: value.clone() for key, value in outer.tensors().items()})
    for parameters, each in ((first, outer), (second, resumed)):
        parameters["w"] -= 0.3
        each.meet(lambda tensor: None, 0.1)
    assert torch.equal(first["w"], second["w"]) and float(first["w"]) < 0.5
