"""Scores by their definition, their order, and how many are held at once."""

import numpy as np
import pytest
import torch

from nightrank.ranker.retrieval.exact import exact_scores, ordered, scores_of, whole_row


def halves(terms):
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return halves([a + b for a, b in zip(terms[:half], terms[half:], strict=True)])


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9, 64, 100])
def test_a_score_is_a_sum_of_halves_in_fp64_rounded_once(width):
    random = np.random.default_rng(width)
    user, item = (random.standard_normal(width).astype(np.float32) for _ in range(2))
    terms = [float(a) * float(b) for a, b in zip(user, item, strict=True)]
    terms += [0.0] * ((1 << (width - 1).bit_length()) - width)
    got = exact_scores(torch.from_numpy(user)[None], torch.from_numpy(item)[None, None])
    assert got.shape == (1, 1) and got.dtype == torch.float32
    assert got.item() == np.float32(halves(terms))


def test_a_whole_row_is_padded_where_the_catalogue_is_shorter():
    ids, scores = whole_row(torch.ones(1), torch.tensor([[5.0], [1.0], [2.0]]), torch.tensor([True, False, False]), 4, 1)
    assert (ids.tolist(), scores.tolist()) == ([2, 1, 0, 0], [2.0, 1.0, -float("inf"), -float("inf")])


def test_candidates_are_ordered_by_score_and_then_by_id():
    """What may not be listed scores -inf, whatever its id."""
    ids, scores = ordered(torch.tensor([[9, 3, 5, 7, 1]]), torch.tensor([[1.0, 1.0, 2.0, -torch.inf, -torch.inf]]), 4)
    assert (ids.tolist(), scores.tolist()) == ([[5, 3, 9, 0]], [[2.0, 1.0, 1.0, -torch.inf]])


@pytest.mark.parametrize("held", [1, 6, 7, 12, 1000])
def test_scores_do_not_depend_on_how_many_are_held_at_once(held):
    users, items = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    scores = scores_of(users, items, torch.tensor([[0, 1, 2], [2, 1, 0], [1, 1, 2]]), held)
    assert scores.tolist() == [[1.0, 2.0, 3.0], [7.0, 4.0, 3.0], [6.0, 6.0, 11.0]]
    ids, whole = whole_row(users[0], items, torch.tensor([True, False, False]), 2, held)
    assert (ids.tolist(), whole.tolist()) == ([2, 1], [3.0, 2.0])
