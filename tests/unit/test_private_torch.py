"""The door to torch's private functions: what stands behind it equals public functions, which take over where it is gone."""

import pytest
import torch

from nightrank.ranker import private_torch
from nightrank.ranker.private_torch import AdamWStep, AdamWTensors

STEP = AdamWStep(rate=0.01, beta1=0.9, beta2=0.98, decay=0.1, epsilon=1e-8, divisor=3.0)


@pytest.fixture(autouse=True)
def tried_anew():
    caches = (private_torch.has_one_dnn, private_torch.has_fused_adamw, private_torch.cpu_multiplies_in_bf16)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def adam_tensors() -> AdamWTensors:
    generator = torch.Generator().manual_seed(5)
    shapes = [(7, 4), (9,)]
    parameters, gradients, means = ([torch.randn(s, generator=generator) for s in shapes] for _ in range(3))
    squares = [torch.rand(s, generator=generator) for s in shapes]
    return AdamWTensors(parameters, gradients, means, squares, [torch.tensor(4.0), torch.tensor(4.0)])


def flat(tensors: AdamWTensors) -> torch.Tensor:
    lists = (tensors.parameters, tensors.gradients, tensors.means, tensors.squares, tensors.steps)
    return torch.cat([value.reshape(-1) for values in lists for value in values])


def test_this_torch_has_the_fast_functions_and_they_are_taken(monkeypatch):
    assert private_torch.has_one_dnn()
    assert private_torch.has_fused_adamw("cpu")
    taken = []
    monkeypatch.setattr(private_torch, "fused_adamw_", lambda tensors, step: taken.append(step))
    private_torch.adamw_(adam_tensors(), STEP)
    assert taken == [STEP]


def test_adamw_by_public_functions_takes_the_same_step():
    fused, public = adam_tensors(), adam_tensors()
    before = flat(public)
    with torch.no_grad():
        private_torch.fused_adamw_(fused, STEP)
        private_torch.public_adamw_(public, STEP)
    torch.testing.assert_close(flat(public), flat(fused), rtol=1e-5, atol=1e-7)
    assert not torch.allclose(before, flat(public), rtol=1e-3)


def test_products_by_public_functions_are_the_same():
    generator = torch.Generator().manual_seed(5)
    x, weight, bias = (torch.randn(s, generator=generator) for s in ((6, 30), (20, 30), (20,)))
    for b in (None, bias):
        pair = private_torch.public_linear(x, weight, b), private_torch.one_dnn_linear(x, weight, b)
        torch.testing.assert_close(*pair, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError, None])
def test_where_a_private_function_is_gone_or_gives_something_else_public_ones_take_over(monkeypatch, error):
    def broken(*_):
        if error is not None:
            raise error("gone")
        return torch.zeros(3, 4)

    monkeypatch.setattr(private_torch, "one_dnn_linear", broken)
    monkeypatch.setattr(private_torch, "fused_adamw_", broken)
    assert not private_torch.has_one_dnn()
    assert not private_torch.has_fused_adamw("cpu")
    x, weight = torch.randn(3, 5), torch.randn(4, 5)
    assert torch.equal(private_torch.linear(x, weight), torch.nn.functional.linear(x, weight))
    moved, public = adam_tensors(), adam_tensors()
    private_torch.adamw_(moved, STEP)
    with torch.no_grad():
        private_torch.public_adamw_(public, STEP)
    assert torch.equal(flat(moved), flat(public))


def test_trying_leaves_the_state_of_the_generator_alone():
    state = torch.get_rng_state()
    private_torch.has_one_dnn(), private_torch.has_fused_adamw("cpu"), private_torch.cpu_multiplies_in_bf16()
    assert torch.equal(torch.get_rng_state(), state)


def test_bf16_by_the_flags_of_the_cpu_is_what_torch_says():
    assert private_torch.flags_say_bf16() == private_torch.cpu_multiplies_in_bf16()


def test_without_torchs_word_the_flags_of_the_cpu_decide(monkeypatch, tmp_path):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)
    monkeypatch.setattr(private_torch, "flags_say_bf16", lambda: "asked the flags")
    assert private_torch.cpu_multiplies_in_bf16() == "asked the flags"
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nflags\t\t: fpu avx512_bf16 sse\n")
    monkeypatch.undo()
    assert private_torch.flags_say_bf16(path)
    path.write_text("flags : fpu sse\n")
    assert not private_torch.flags_say_bf16(path)
    assert not private_torch.flags_say_bf16(tmp_path / "gone")
