"""The place that is drawn: its probabilities are those of the draws, and nothing is drawn that has none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nightrank.experiments.slot_policy import NONE, draw, probabilities

SCORES = arrays(np.float64, (3, 5), elements=st.floats(-50, 50))


@given(SCORES, st.floats(0, 10), st.floats(0, 1))
def test_rows_add_up_to_1_and_each_candidate_has_its_uniform_part(scores, temperature, uniform):
    chance = probabilities(scores, temperature, uniform)
    assert np.allclose(chance.sum(axis=1), 1)
    assert (chance >= uniform / 5 - 1e-12).all()


@given(SCORES)
def test_without_temperature_and_uniform_part_the_best_is_chosen(scores):
    chosen, propensity = draw(probabilities(scores, 0, 0), np.array([0.0, 0.5, 1 - 1e-12]))
    assert (chosen == scores.argmax(axis=1)).all() and (propensity == 1).all()


def test_a_place_without_a_candidate_is_never_drawn():
    scores = np.array([[1.0, NONE, 0.5, NONE]])
    chance = probabilities(scores, 1.0, 0.5)
    assert chance[0, 1] == chance[0, 3] == 0 and np.isclose(chance.sum(), 1)
    chosen, _ = draw(np.repeat(chance, 1_000, axis=0), np.linspace(0, 1, 1_000, endpoint=False))
    assert set(chosen.tolist()) == {0, 2}
    with pytest.raises(ValueError, match="list 0 has no candidate"):
        probabilities(np.full((1, 2), NONE), 1.0, 0.5)


def test_draws_happen_as_often_as_they_are_logged_to():
    chance = probabilities(np.array([[2.0, 1.0, 0.0, -1.0]]), 0.7, 0.1)
    points = np.random.default_rng(0).random(200_000)
    chosen, propensity = draw(np.broadcast_to(chance, (len(points), 4)), points)
    assert np.allclose(np.bincount(chosen) / len(points), chance[0], atol=0.004)
    assert (propensity == chance[0][chosen]).all()
