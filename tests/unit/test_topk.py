"""exact_topk against numpy brute force: sorted, unique, free of excluded items, ties by id."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.retrieval import topk
from nightrank.ranker.retrieval.plan import Plan
from nightrank.ranker.retrieval.tiles import AVAILABLE
from nightrank.ranker.retrieval.topk import exact_topk

PRODUCTS = ["fp32", "bf16", *(["tiles"] if AVAILABLE else [])]


def brute_force(users, items, k, excluded=None, eligible=None):
    scores = (users.double().numpy() @ items.double().numpy().T).astype(np.float32)
    scores[:, 0] = -np.inf
    if eligible is not None:
        scores[:, ~eligible.numpy()] = -np.inf
    for row in range(len(users)):
        if excluded is not None:
            scores[row, excluded[0][excluded[1][row] : excluded[1][row + 1]].numpy()] = -np.inf
    ids = np.stack([np.lexsort((np.arange(scores.shape[1]), -row)) for row in scores])[:, :k]
    best = np.take_along_axis(scores, ids, 1)
    missing = ((0, 0), (0, k - ids.shape[1]))
    best = np.pad(best, missing, constant_values=-np.inf)
    return np.where(best == -np.inf, 0, np.pad(ids, missing)), best


def exclusions(rng, rows, items):
    lists = [rng.integers(0, items, rng.integers(0, items)) for _ in range(rows)]
    offsets = np.cumsum([0, *map(len, lists)])
    return torch.from_numpy(np.concatenate([*lists, np.zeros(0, dtype=np.int64)]).astype(np.int64)), torch.from_numpy(offsets)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(0, 6),
    items=st.integers(1, 400),
    k=st.integers(1, 30),
    levels=st.sampled_from([1, 2, 5, None]),
    rows_of_block=st.sampled_from([7, 64, 10_000]),
    product=st.sampled_from(PRODUCTS),
)
def test_equals_brute_force(seed, rows, items, k, levels, rows_of_block, product):
    """Integer vectors make whole rows of equal scores; `levels` None draws real numbers."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if levels is None else (lambda shape: rng.integers(0, levels, shape))
    users, matrix = (torch.from_numpy(np.asarray(draw(shape), dtype=np.float32)) for shape in ((rows, 4), (items, 4)))
    excluded = exclusions(rng, rows, items)
    eligible = torch.from_numpy(rng.random(items) < 0.8)
    plan = Plan(product, user_rows=4, item_rows=rows_of_block, tile_rows=rows_of_block)
    ids, scores = exact_topk(users, matrix, k, excluded, eligible, plan)
    wanted_ids, wanted_scores = brute_force(users, matrix, k, excluded, eligible) if rows else (np.zeros((0, k)),) * 2
    assert ids.shape == (rows, k)
    np.testing.assert_array_equal(ids.numpy(), wanted_ids)
    np.testing.assert_allclose(scores.numpy(), wanted_scores, rtol=1e-6)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_large_catalogue_of_near_ties_is_exact(product):
    """Scores that differ by less than the error of an fp32 product: only the whole-row path gets them right."""
    torch.manual_seed(0)
    base = torch.randn(64)
    items = base + torch.randn(5000, 64) * 1e-7
    users = torch.randn(8, 64)
    ids, _ = exact_topk(users, items, 10, plan=Plan(product))
    np.testing.assert_array_equal(ids.numpy(), brute_force(users, items, 10)[0])


def test_a_list_does_not_depend_on_the_batch_it_is_made_in():
    torch.manual_seed(1)
    users, items = torch.randn(50, 32), torch.randn(3000, 32)
    together = exact_topk(users, items, 20)
    for row in (0, 17, 49):
        alone = exact_topk(users[row : row + 1], items, 20, plan=Plan("fp32", item_rows=512))
        assert torch.equal(alone[0][0], together[0][row])
        assert torch.equal(alone[1][0], together[1][row])


def test_bf16_inputs_are_scored_as_the_numbers_they_are():
    torch.manual_seed(2)
    users, items = torch.randn(5, 16).bfloat16(), torch.randn(500, 16).bfloat16()
    ids, _ = exact_topk(users, items, 10)
    np.testing.assert_array_equal(ids.numpy(), brute_force(users.float(), items.float(), 10)[0])


@pytest.mark.parametrize("product", PRODUCTS)
def test_ids_outside_the_matrix_are_ignored_in_exclusions(product):
    items = torch.tensor([[0.0], [3.0], [2.0]])
    excluded = (torch.tensor([1, 99, -4, 3]), torch.tensor([0, 4]))
    ids, _ = exact_topk(torch.ones(1, 1), items, 2, excluded, plan=Plan(product))
    assert ids.tolist() == [[2, 0]]


@pytest.mark.parametrize(("users", "items", "named"), [(float("nan"), 1.0, "user vectors"), (1.0, float("inf"), "item matrix")])
def test_a_vector_that_is_no_number_is_refused(users, items, named):
    with pytest.raises(DataContractError, match=named):
        exact_topk(torch.full((2, 2), users), torch.full((3, 2), items), 1)


@pytest.mark.parametrize("product", PRODUCTS)
def test_exclusions_of_a_row_that_is_scored_whole_may_name_ids_outside_the_matrix(product):
    """All scores but the last item's are equal: the rows are scored in fp64, and the ids -1, 0 and I are nobody's."""
    items = torch.ones(40, 2)
    items[39] = 2
    excluded = (torch.tensor([-1, 40, 1000, 1, 0, 39]), torch.tensor([0, 2, 6]))
    ids, _ = exact_topk(torch.ones(2, 2), items, 3, excluded, plan=Plan(product))
    assert ids.tolist() == [[39, 1, 2], [2, 3, 4]]


def test_a_list_is_padded_where_fewer_than_k_are_eligible():
    ids, scores = exact_topk(torch.ones(1, 1), torch.tensor([[9.0], [1.0], [2.0]]), 4)
    assert (ids.tolist(), scores.tolist()) == ([[2, 1, 0, 0]], [[2.0, 1.0, -float("inf"), -float("inf")]])


@pytest.fixture
def scored_whole(monkeypatch):
    """The users whose whole row was scored in fp64."""
    users = []

    def counted(user, *rest):
        users.append(user.tolist())
        return whole_row(user, *rest)

    whole_row = topk.whole_row
    monkeypatch.setattr(topk, "whole_row", counted)
    return users


ULP = 2.0**-24
"""The distance between fp32 numbers just below 1."""


def column(scores):
    """An item matrix [I, 2] in which the user (1, 0) gives the items 1, 2, ... these scores; the last item has norm 4."""
    return torch.tensor([[0.0, 0.0], *([score, 0.0] for score in scores), [0.0, 4.0]])


@pytest.mark.parametrize(("gap", "whole"), [(47, True), (48, True), (49, False)])
def test_a_row_is_scored_whole_where_rounding_could_hide_an_item_and_only_there(scored_whole, gap, whole):
    """A product of width 2 is off by (2 + 2) 2^-23 |u||i|, and 2^-22 |u||i| may be lost in fp32: (8 + 4) x 4 = 48 ulp."""
    ids, _ = exact_topk(torch.tensor([[1.0, 0.0]]), column([1 - ULP, *[1 - ULP - gap * ULP] * 30]), 1, plan=Plan("fp32"))
    assert ids.tolist() == [[1]]
    assert bool(scored_whole) == whole


@pytest.mark.parametrize(("last", "whole"), [(1 - 9 * ULP, True), (0.5, False)])
def test_the_kth_and_the_last_candidate_decide_whether_a_row_is_scored_whole(scored_whole, last, whole):
    """k = 2: the best stands far above, the others right under the second but for the last of 18 candidates."""
    ids, _ = exact_topk(
        torch.tensor([[1.0, 0.0]]), column([3.0, 1 - ULP, *[1 - 2 * ULP] * 15, *[last] * 9]), 2, plan=Plan("fp32")
    )
    assert ids.tolist() == [[1, 2]]
    assert bool(scored_whole) == whole


def test_a_user_of_great_length_does_not_make_others_be_scored_whole(scored_whole):
    users = torch.tensor([[1.0, 0.0], [0.0, 100.0]])
    ids, _ = exact_topk(users, column([1 - ULP, *[1 - 100 * ULP] * 30]), 1, plan=Plan("fp32"))
    assert ids.tolist() == [[1], [32]]
    assert scored_whole == []


def test_well_separated_scores_are_never_scored_twice(scored_whole):
    exact_topk(torch.tensor([[1.0, 0.0]]), column(range(1, 60)), 5, plan=Plan("fp32"))
    assert scored_whole == []


def test_the_rows_that_are_no_numbers_are_counted():
    users = torch.tensor([[1.0, float("nan"), 1.0], [1.0] * 3, [float("inf")] * 3])
    with pytest.raises(DataContractError, match=r"^user vectors: 2 of 3 rows hold"):
        exact_topk(users, torch.ones(4, 3), 1)
    with pytest.raises(DataContractError, match=r"^item matrix: 2 of 3 rows hold"):
        exact_topk(torch.ones(4, 3), users, 1)
