"""Our dropout: the share, the scale, the gradient, and a function of torch's seed alone."""

import pytest
import torch

from nightrank.ranker.blocks.dropout import Dropout


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_a_share_is_zero_and_the_rest_is_scaled(kind, share):
    torch.manual_seed(1)
    x = torch.ones(301, 999, dtype=kind, requires_grad=True)
    y = Dropout(share)(x)
    kept = torch.tensor(1 / (1 - share), dtype=kind)
    assert set(y.detach().unique().tolist()) == {0.0, float(kept)}
    deviation = (share * (1 - share) / x.numel()) ** 0.5
    assert float((y == 0).double().mean()) == pytest.approx(share, abs=5 * deviation + 2**-15)
    for axis in (0, 1):
        assert float((y == 0).double().mean(axis).std()) < 3 * (share * (1 - share) / x.shape[axis]) ** 0.5
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_it_is_a_function_of_torchs_seed_and_moves_on_with_each_call():
    x, dropout, drawn = torch.ones(64, 64), Dropout(0.3), []
    for _ in range(2):
        torch.manual_seed(7)
        drawn.append([dropout(x), dropout(x)])
    assert torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1], drawn[1][1])
    assert not torch.equal(drawn[0][0], drawn[0][1])


def test_in_evaluation_and_without_a_share_it_is_the_same_tensor():
    x = torch.ones(3)
    assert Dropout(0.0)(x) is x and Dropout(0.5).eval()(x) is x


def test_an_empty_tensor_stays_empty():
    assert Dropout(0.5)(torch.ones(0, 4)).shape == (0, 4)
