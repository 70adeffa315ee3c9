"""Any plan gives the same lists; the plan that is chosen holds no more than it says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.ranker.retrieval import chunks
from nightrank.ranker.retrieval.chunks import largest
from nightrank.ranker.retrieval.exact import exact_scores
from nightrank.ranker.retrieval.plan import CANDIDATES, Plan, plan_for, rows_holding
from nightrank.ranker.retrieval.rounding import lengths_of
from nightrank.ranker.retrieval.tiles import AVAILABLE, room_for
from nightrank.ranker.retrieval.topk import exact_topk
from tests.unit.test_topk import PRODUCTS, brute_force, exclusions

FEW = st.sampled_from([1, 2, 3, 7, 33, 1000])
PLANS = st.builds(
    Plan,
    st.sampled_from(PRODUCTS),
    user_rows=FEW,
    item_rows=FEW,
    tile_rows=FEW,
    spare=st.integers(0, 20),
    chunk=FEW,
    terms=st.sampled_from([1, 100, 1 << 22]),
    checked=st.sampled_from([1, 100, 1 << 15]),
)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, None]), k=st.integers(1, 12), plan=PLANS)
def test_any_plan_gives_the_same_lists(seed, levels, k, plan):
    """Few levels make ties at the k-th place that go on over chunks and blocks."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if levels is None else (lambda shape: rng.integers(0, levels, shape))
    users, items = (torch.from_numpy(np.asarray(draw(shape), dtype=np.float32)) for shape in ((5, 3), (150, 3)))
    excluded, eligible = exclusions(rng, 5, 100), torch.from_numpy(rng.random(150) < 0.9)
    ids, scores = exact_topk(users, items, k, excluded, eligible, plan)
    wanted, best = brute_force(users, items, k, excluded, eligible)
    np.testing.assert_array_equal(ids.numpy(), wanted)
    assert torch.equal(scores, exact_scores(users, items[ids]).masked_fill(torch.from_numpy(best) == -np.inf, -torch.inf))


@pytest.mark.parametrize("k", [1, 10, 5000, 1 << 22, 1 << 30])
def test_the_candidates_of_the_users_of_a_block_fit_in_the_memory_for_them(k):
    plan = plan_for(torch.ones(4, 2), k)
    assert plan.user_rows == 1 or plan.user_rows * room_for(k) <= CANDIDATES
    assert plan.user_rows >= 1
    assert plan.candidates(k) >= k and plan.slower().candidates(k) >= k


def test_a_block_of_the_catalogue_has_as_many_items_as_the_plan_says(monkeypatch):
    """Memory does not depend on the catalogue: no product is wider than a block, and together they are the catalogue."""
    widths = []
    monkeypatch.setattr(chunks, "largest", lambda scores, *rest: widths.append(scores.shape[1]) or largest(scores, *rest))
    exact_topk(torch.ones(2, 3), torch.randn(1000, 3), 4, plan=Plan("fp32", item_rows=300))
    assert widths == [300, 300, 300, 100]


def test_items_are_measured_once_for_all_users(monkeypatch):
    measured = []
    monkeypatch.setattr(chunks, "lengths_of", lambda items, *rest: measured.append(len(items)) or lengths_of(items, *rest))
    exact_topk(torch.ones(7, 3), torch.randn(1000, 3), 4, plan=Plan("fp32", user_rows=2, item_rows=300))
    assert measured == [300, 300, 300, 100]


def test_the_fastest_product_of_the_device_is_chosen():
    assert plan_for(torch.ones(4, 2), 1).product == ("tiles" if AVAILABLE else "fp32")
    assert plan_for(torch.ones(4, 2).double(), 1).product == "fp32"
    assert plan_for(torch.ones(2, 4).T, 1).product == "fp32"


def test_there_are_more_chunks_than_candidates_where_chunks_are_looked_at():
    plan = Plan("fp32", chunk=4)
    assert [plan.by_chunks(width, 3) for width in (24, 27, 28)] == [False, False, True]


@pytest.mark.parametrize(("numbers", "width", "rows"), [(12, 4, 3), (15, 4, 3), (3, 4, 1), (0, 4, 1), (12, 0, 12)])
def test_rows_that_hold_so_many_numbers(numbers, width, rows):
    assert rows_holding(numbers, width) == rows


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    width=st.integers(1, 2000),
    count=st.integers(1, 12),
    levels=st.sampled_from([3, 10_000]),
    chunk=st.sampled_from([1, 2, 7, 64]),
)
def test_the_largest_by_chunks_are_the_largest(seed, width, count, levels, chunk):
    scores = torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (3, width))).float()
    values, places = largest(scores, count, Plan("fp32", chunk=chunk))
    assert torch.equal(values, scores.topk(min(count, width), dim=1).values)
    assert torch.equal(scores.gather(1, places), values)
    assert all(len(set(row)) == len(row) for row in places.tolist())
