"""The bounds on products by hand, and users who are unsure exactly where the bounds say so."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.ranker.retrieval.chunks import Hidden, block_lists, reach_of
from nightrank.ranker.retrieval.plan import Plan
from nightrank.ranker.retrieval.rounding import Bounds, bounds_of, lengths_of

TIGHT = 1 + 2.0**-8
"""How much more than the formula a bound may be, for its own rounding."""


def unsure(user, items, product, k=1):
    """Whether one user's lists cannot be told from candidates of which there are k + 16, or 2 k + 16 in bf16."""
    nothing = torch.zeros(0, dtype=torch.int64)
    hidden = Hidden(torch.arange(len(items)) == 0, nothing, nothing)
    plan = Plan(product, item_rows=20)
    return block_lists(torch.tensor([user]), items, k, hidden, plan, reach_of(items, plan))[2].tolist() == [True]


@pytest.mark.parametrize(("precision", "lost"), [("highest", 0.0), ("high", 2.0**-9), ("medium", 2.0**-6)])
def test_the_bound_of_an_fp32_product(precision, lost):
    """User (3, 4) of length 5 and width 2: sums (2 + 2) 2^-23, equal scores 2^-22, numbers below 2^-120."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        bounds = bounds_of(torch.tensor([[3.0, 4.0]]), torch.float32)
    finally:
        torch.set_float32_matmul_precision(before)
    expected = 5 * (4 * 2.0**-23 + 2.0**-22 + lost)
    assert expected <= bounds.by_norm_B.item() <= expected * TIGHT
    assert bounds.by_residual_B.item() == 0
    assert 12 * 2.0**-120 <= bounds.constant_B.item() <= 12 * 2.0**-120 * TIGHT


def test_the_bound_of_a_bf16_product():
    """User (2^-8, 1 + 2^-8) becomes (2^-8, 1): what it loses is for the items' length, its own length for what they lose."""
    bounds = bounds_of(torch.tensor([[2.0**-8, 1 + 2.0**-8]]), torch.bfloat16)
    assert 2.0**-8 + 3 * 2.0**-22 <= bounds.by_norm_B.item() <= (2.0**-8 + 3 * 2.0**-22) * TIGHT
    assert 1 <= bounds.by_residual_B.item() <= TIGHT
    exact = bounds_of(torch.tensor([[3.0, 4.0]]), torch.bfloat16)
    assert 5 * 3 * 2.0**-22 * 0.6 <= exact.by_norm_B.item() <= 5 * 4 * 2.0**-22 * TIGHT


def test_a_bound_is_the_sum_of_its_parts():
    bounds = Bounds(torch.tensor([2.0, 1.0]), torch.tensor([3.0, 0.0]), torch.tensor([5.0, 4.0]))
    assert bounds.at(torch.tensor(7.0), torch.tensor(11.0)).tolist() == [52.0, 11.0]


def test_lengths_are_those_of_the_longest_and_of_the_farthest_with_room_for_every_addition():
    norm, residual = lengths_of(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.5]]))
    assert 5 <= norm.item() <= 5 * TIGHT and 0.5 <= residual.item() <= 0.5 * TIGHT
    long = torch.ones(1, 1 << 16)
    norm, residual = lengths_of(long, long)
    assert 256 * (1 + 2.0**-7) <= norm.item() <= 256 * (1 + 2.0**-7 + 2.0**-9)
    assert residual.item() == 2.0**-50, "squares below 2^-126 are lost"


@pytest.mark.parametrize(("more", "told"), [(-(2.0**-20), False), (0.0, False), (2.0**-20, True)])
def test_a_list_is_told_where_the_kth_score_is_above_the_bound_of_the_rest_and_only_there(more, told):
    """30 items of score 1, item 31 of length 4, and the best stands as far above 1 as the bound is, or a bit less or more."""
    bounds = bounds_of(torch.tensor([[1.0, 0.0]]), torch.float32)
    items = torch.tensor([[0.0, 0.0], *[[1.0, 0.0]] * 30, [0.0, 4.0]])
    left = 1 + bounds.at(*lengths_of(items, items))
    items[7, 0] = left.item() + more
    assert unsure([1.0, 0.0], items, "fp32") is not told


@pytest.mark.parametrize("first", [1.0, -1.0, 4.0])
@pytest.mark.parametrize(("last", "told"), [(0.0, False), (2.0**-16, False), (2.0**-16 + 2.0**-17, True)])
def test_a_product_stored_in_bf16_loses_of_itself(first, last, told):
    """Items of product `first` as it is stored; the best score is 2^-8 and `last` of it above that."""
    items = torch.tensor([[0.0] * 3, *[[first, 0.0, 0.0]] * 30])
    items[12] = torch.tensor([first, abs(first) * 2.0**-8, abs(first) * last])
    assert torch.equal(items.bfloat16().float(), items), "nothing but the stored product is rounded"
    assert unsure([1.0, 1.0, 1.0], items, "bf16") is not told


@pytest.mark.parametrize(("user", "item", "told"), [(1.0, 1024.0, True), (1 + 2.0**-8, 1024.0, False), (1.0, 1027.0, False)])
def test_what_user_and_items_lose_in_bf16_can_hide_an_item(user, item, told):
    """The best score is 1.5 and all others 1, but a user loses 2^-8 of 1024, or a long item 3 of its 1027."""
    items = torch.tensor([[0.0, 0.0], [0.0, item], *[[1.0, 0.0]] * 30, [1.5, 0.0]])
    assert unsure([user, 0.0], items, "bf16") is not told


@pytest.mark.parametrize(("length", "told"), [(2.0**56, True), (2.0**57, False)])
def test_nothing_is_said_of_a_bound_beyond_the_largest_error(length, told):
    """3 x 2^-22 of 2^60 times the user's length: below 2^96 and above it, though the scores are far apart."""
    items = torch.zeros(60, 2)
    items[:, 0] = 2.0**60 * 0.5 ** torch.arange(60)
    assert unsure([length, 0.0], items, "fp32") is not told


@pytest.mark.parametrize("product", ["bf16", "fp32"])
def test_a_user_who_has_room_for_all_that_may_be_listed_is_sure(product):
    assert not unsure([1.0, 0.0], torch.ones(10, 2), product)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 300), scale=st.sampled_from([1e-20, 1.0, 1e12]))
def test_products_are_no_farther_from_the_scores_than_their_bounds_say(seed, width, scale):
    random = torch.Generator().manual_seed(seed)
    users, items = torch.randn(3, width, generator=random) * scale, torch.randn(40, width, generator=random)
    exact = users.double() @ items.double().T
    for kind in (torch.bfloat16, torch.float32):
        rounded = items.to(kind)
        product = users.to(kind).float() @ rounded.float().T
        error_B = bounds_of(users, kind).at(*lengths_of(items, rounded))
        assert bool(((product.double() - exact).abs().amax(1) <= error_B).all())
        longest = users.norm(dim=1) * items.norm(dim=1).max()
        assert bool((error_B < (2.0**-7 if kind == torch.bfloat16 else width * 2.0**-20) * longest + 1e-12).all()), "no tighter"
