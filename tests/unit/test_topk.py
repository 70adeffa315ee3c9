"""exact_topk against numpy brute force: sorted, unique, free of excluded items, ties by id."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.retrieval.topk import exact_topk


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
    item_rows=st.sampled_from([7, 64, 10_000]),
)
def test_equals_brute_force(seed, rows, items, k, levels, item_rows):
    """Integer vectors make whole rows of equal scores; `levels` None draws real numbers."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if levels is None else (lambda shape: rng.integers(0, levels, shape))
    users, matrix = (torch.from_numpy(np.asarray(draw(shape), dtype=np.float32)) for shape in ((rows, 4), (items, 4)))
    excluded = exclusions(rng, rows, items)
    eligible = torch.from_numpy(rng.random(items) < 0.8)
    ids, scores = exact_topk(users, matrix, k, excluded, eligible, user_rows=4, item_rows=item_rows)
    wanted_ids, wanted_scores = brute_force(users, matrix, k, excluded, eligible) if rows else (np.zeros((0, k)),) * 2
    assert ids.shape == (rows, k)
    np.testing.assert_array_equal(ids.numpy(), wanted_ids)
    np.testing.assert_allclose(scores.numpy(), wanted_scores, rtol=1e-6)


def test_a_large_catalogue_of_near_ties_is_exact():
    """Scores that differ by less than the error of an fp32 product: only the whole-row path gets them right."""
    torch.manual_seed(0)
    base = torch.randn(64)
    items = base + torch.randn(5000, 64) * 1e-7
    users = torch.randn(8, 64)
    ids, _ = exact_topk(users, items, 10)
    np.testing.assert_array_equal(ids.numpy(), brute_force(users, items, 10)[0])


def test_a_list_does_not_depend_on_the_batch_it_is_made_in():
    torch.manual_seed(1)
    users, items = torch.randn(50, 32), torch.randn(3000, 32)
    together = exact_topk(users, items, 20)
    for row in (0, 17, 49):
        alone = exact_topk(users[row : row + 1], items, 20, item_rows=512)
        assert torch.equal(alone[0][0], together[0][row])
        assert torch.equal(alone[1][0], together[1][row])


def test_bf16_inputs_are_scored_as_the_numbers_they_are():
    torch.manual_seed(2)
    users, items = torch.randn(5, 16).bfloat16(), torch.randn(500, 16).bfloat16()
    ids, _ = exact_topk(users, items, 10)
    np.testing.assert_array_equal(ids.numpy(), brute_force(users.float(), items.float(), 10)[0])


def test_ids_outside_the_matrix_are_ignored_in_exclusions():
    items = torch.tensor([[0.0], [3.0], [2.0]])
    ids, _ = exact_topk(torch.ones(1, 1), items, 2, (torch.tensor([1, 99, -4]), torch.tensor([0, 3])))
    assert ids.tolist() == [[2, 0]]


@pytest.mark.parametrize(("users", "items", "named"), [(float("nan"), 1.0, "user vectors"), (1.0, float("inf"), "item matrix")])
def test_a_vector_that_is_no_number_is_refused(users, items, named):
    with pytest.raises(DataContractError, match=named):
        exact_topk(torch.full((2, 2), users), torch.full((3, 2), items), 1)
