"""fp16 on the wire: no sum of finite values overflows, and none loses more than fp16's digits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nightrank.trainer.ranks.half import half_scale

RANGE = 65504.0


def summed(values: list[torch.Tensor]) -> torch.Tensor:
    """What the ranks do: scale, round, add in fp16, scale back."""
    scale = half_scale(float(torch.stack(values).abs().max()), len(values))
    total = (values[0] * scale).half()
    for value in values[1:]:
        total = total + (value * scale).half()
    return total.float() / scale


@pytest.mark.parametrize("ranks", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("value", [RANGE, 2 * RANGE, 1e30, 3e38, 1.0, 1e-7, 1e-30])
def test_values_at_the_edge_of_the_range_add_up(ranks, value):
    for each in (value / ranks, value * (1 - 1e-3) / ranks, value if value < 1e38 else value / ranks):
        total = summed([torch.tensor([each, -each, 0.0])] * ranks)
        assert total.tolist() == pytest.approx([each * ranks, -each * ranks, 0.0], rel=ranks * 2**-11)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_a_sum_is_off_by_at_most_fp16s_rounding_of_its_largest_value(values):
    ranks = [torch.tensor([value]) for value in values]
    largest = max(map(abs, values))
    assert abs(float(summed(ranks)) - sum(values)) <= largest * len(values) ** 2 * 2**-10 + 1e-30


def test_the_scale_is_a_power_of_two_that_costs_no_digit():
    assert half_scale(65504.0 / 2, 2) == 0.5
    assert half_scale(1.0, 1) == 32768.0
    assert half_scale(3.0, 4) == 2.0**11


@pytest.mark.parametrize("largest", [0.0, float("inf"), float("nan")])
def test_where_there_is_nothing_finite_to_scale_the_values_go_as_they_are(largest):
    assert half_scale(largest, 4) == 1.0
