"""Laws of the gate's limits, each by itself: when it holds, when it fails, and that it may be switched off."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.config.limits import GateLimits
from nightrank.trainer.evaluation.decision import Decision, first, limited
from nightrank.trainer.evaluation.limits import lists, scores, serving
from nightrank.trainer.evaluation.limits.finding import Finding
from nightrank.trainer.evaluation.limits.slices import floors, slices_of
from nightrank.trainer.evaluation.sides import Side

SEEDS = st.integers(0, 2**32 - 1)
ITEMS, ROWS = 30, 40


def drawn(seed, rows=ROWS):
    """[rows, 10] lists in which no item stands twice."""
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(np.arange(1, ITEMS + 1))[:10] for _ in range(rows)])


@given(SEEDS, SEEDS)
def test_lists_against_themselves_pass_every_limit_at_its_strictest(seed, other):
    ids, events = drawn(seed), np.random.default_rng(other).integers(0, 50, ITEMS + 1)
    found = (lists.coverage(ids, ids, 1.0), lists.popularity_lift(ids, ids, events, 1.0), lists.list_churn(ids, ids, 0.0))
    assert [finding.verdict for finding in found] == ["passed"] * 3
    assert [finding.value for finding in found] == [1.0, pytest.approx(1.0), 0.0]


@given(SEEDS, SEEDS, SEEDS)
def test_churn_knows_no_order_and_lies_between_none_and_all(seed, other, shuffle):
    ours, theirs = drawn(seed), drawn(other)
    mixed = np.random.default_rng(shuffle).permuted(ours, axis=1)
    rows = lists.churn_rows(ours, theirs)
    assert ((rows >= 0) & (rows <= 1)).all() and (rows == lists.churn_rows(mixed, theirs)).all()
    assert lists.list_churn(ours + ITEMS, theirs, 0.9).value == 1.0
    by_hand = [1 - len(set(mine) & set(other)) / 10 for mine, other in zip(ours.tolist(), theirs.tolist(), strict=True)]
    assert rows.tolist() == pytest.approx(by_hand)


def test_a_list_that_is_short_or_empty_is_counted_by_what_it_holds():
    theirs = np.array([[1, 2, 0], [0, 0, 0]])
    assert lists.churn_rows(np.array([[2, 0, 0], [5, 6, 7]]), theirs).tolist() == [0.5, 0.0]


@given(SEEDS, st.floats(1.0, 5.0))
def test_a_list_of_the_best_sellers_alone_fails_coverage_and_popularity(seed, bound):
    theirs, events = drawn(seed), np.arange(ITEMS + 1) ** 3
    ours = np.tile(np.arange(ITEMS, ITEMS - 10, -1), (ROWS, 1))
    ratio = (events[ours[0]].mean() + 1) / (events[theirs].mean() + 1)
    found = lists.popularity_lift(ours, theirs, events, bound)
    assert found.value == pytest.approx(ratio) and found.failed == (ratio > bound)
    assert lists.coverage(ours, theirs, 0.5).failed and not lists.coverage(theirs, ours, 1.0).failed


@given(SEEDS, st.floats(-50, 50), st.floats(0.01, 50))
def test_calibration_is_of_differences_between_scores_and_an_error_is_a_share(seed, shift, scale):
    random = np.random.default_rng(seed)
    table, right = -np.sort(-random.normal(0, scale, (ROWS, 10)), axis=1), random.random(ROWS) < 0.5
    error = scores.calibration_error(table, right)
    assert 0 <= error <= 1 and error == pytest.approx(scores.calibration_error(table + shift, right), abs=1e-6)


def test_calibration_by_hand():
    """One place: always sure. Two even places: sure by half."""
    assert scores.calibration_error(np.array([[1.0], [1.0]]), np.array([True, False])) == 0.5
    assert scores.calibration_error(np.zeros((4, 2)), np.array([True, True, False, False])) == 0.0
    assert scores.calibration_error(np.array([[0.0, -np.inf]]), np.array([False])) == 1.0
    assert scores.calibration_error(np.zeros((0, 10)), np.zeros(0, bool)) == 0.0


def side(sure, right, rows=200):
    """Every list has the target, first in a share `right` of the rows, with one confidence throughout."""
    ids = np.tile(np.arange(1, 11), (rows, 1))
    ids[int(right * rows) :, :2] = [2, 1]
    table = np.zeros((rows, 10))
    table[:, 0] = np.log(9 * sure / (1 - sure))
    return Side(np.ones(rows), ids, table)


def test_a_model_that_grew_sure_of_what_it_does_not_know_fails_calibration():
    target = np.ones(200, np.int64)
    found = scores.calibration(side(0.95, 0.5), side(0.5, 0.5), target, 0.15, rows=100)
    assert found.failed and found.value == pytest.approx(0.45) and found.n == 200
    assert scores.calibration(side(0.5, 0.5), side(0.95, 0.5), target, 0.0, rows=100).verdict == "passed"
    assert scores.calibration(side(0.9, 0.5), side(0.5, 0.5), target, 0.15, rows=201).verdict == "not_judged"


@given(SEEDS, st.floats(-3, 3))
def test_drift_is_0_for_the_same_scores_never_negative_and_grows_with_the_shift(seed, shift):
    before = np.random.default_rng(seed).normal(size=400)
    assert scores.score_drift(before, before, 0.0).value == 0.0
    near, far = (scores.score_drift(before + step * shift, before, 9.0).value for step in (1, 3))
    assert 0 <= near <= far + 0.2
    assert scores.score_drift(before, np.append(before, -np.inf), 0.1).verdict == "passed", "a list without scores is left out"


@given(SEEDS, st.sampled_from([np.nan, np.inf]), st.integers(0, ROWS * 10 - 1))
def test_one_number_that_is_none_fails_and_short_lists_do_not(seed, value, place):
    table = np.random.default_rng(seed).normal(size=(ROWS, 10))
    table[0, 5:] = -np.inf
    assert scores.finite(0, table).verdict == "passed"
    table.flat[place] = value
    assert scores.finite(0, table).failed and scores.finite(1, np.zeros((0, 0))).failed
    assert scores.broken_values([table]) == len(np.flatnonzero(~np.isfinite(table)))


def test_size_and_time_are_judged_as_ratios():
    assert serving.bundle_growth(3 * 2**20, 2**20, 2.0).failed and not serving.bundle_growth(2**21, 2**20, 2.0).failed
    assert serving.latency_growth(0.06, 0.01, 5.0, 100).failed and not serving.latency_growth(0.05, 0.01, 5.0, 100).failed
    assert serving.latency_growth(0.05, 0.0, 5.0, 0).verdict == "passed", "nothing was measured of the champion"


@given(SEEDS, st.floats(0.05, 0.9))
def test_every_row_is_in_one_of_new_head_and_tail_items(seed, share):
    random = np.random.default_rng(seed)
    events, history = random.integers(0, 60, ITEMS + 1), random.integers(0, 50, ROWS)
    found = slices_of(history, random.integers(1, ITEMS + 1, ROWS), events, GateLimits(head_share=share))
    assert (found["new_items"].astype(int) + found["head_items"] + found["tail_items"] == 1).all()
    assert not (found["new_users"] & found["heavy_users"]).any()


def test_slices_by_hand():
    events = np.array([0, 100, 50, 20, 10, 5, 0])
    found = slices_of(np.array([5, 6, 20, 21]), np.array([1, 5, 4, 6]), events, GateLimits())
    named = {name: np.flatnonzero(inside).tolist() for name, inside in found.items()}
    assert named == {"new_users": [0], "heavy_users": [2, 3], "new_items": [1, 3], "head_items": [0], "tail_items": [2]}


@given(SEEDS)
def test_a_slice_that_loses_more_than_its_floor_fails_and_no_other(seed):
    theirs = np.random.default_rng(seed).uniform(0.4, 0.6, 400)
    half = np.arange(400) < 200
    ours = np.where(half, theirs * 0.5, theirs * 1.5)
    found = list(floors(ours, theirs, {"new_users": half, "heavy_users": ~half}, GateConfig(samples=200), 1))
    assert [(each.limit, each.verdict) for each in found] == [
        ("slice_floor:new_users", "failed"),
        ("slice_floor:heavy_users", "passed"),
    ]
    same = list(floors(theirs, theirs, {"new_users": half}, GateConfig(limits=GateLimits(slice_floor=0.0)), 1))
    assert same[0].verdict == "passed"
    few = list(floors(ours, theirs, {"new_users": half}, GateConfig(limits=GateLimits(rows=201)), 1))
    assert few[0].verdict == "not_judged" and "200 rows of new users, 201 are needed" in few[0].sentence
    assert not list(floors(ours, theirs, {"new_users": half}, GateConfig(limits=GateLimits(slice_floor=None)), 1))


VERDICTS = st.lists(st.sampled_from(["passed", "failed", "not_judged"]), max_size=6)


@given(VERDICTS, st.sampled_from(["promoted", "rejected", "undecidable"]))
def test_the_decision_names_every_limit_that_failed_and_only_what_passes_all_goes_live(verdicts, decision):
    findings = [Finding(f"limit{place}", 1.0, 0.5, 9, verdict, "it is so") for place, verdict in enumerate(verdicts)]
    before = Decision(decision, ("the rule's reason",))
    after = limited(before, findings)
    failed = [f"limit limit{place}: it is so" for place, verdict in enumerate(verdicts) if verdict == "failed"]
    assert after.reasons == (*failed, "the rule's reason")
    assert after.decision == ("rejected" if failed and decision == "promoted" else decision)
    assert len(after.to_json()["limits"]) == len(verdicts)
    assert limited(after, findings[:0]) == replace(after, limits=())


def test_a_first_model_says_what_was_looked_at():
    body = limited(first(), [scores.finite(0, np.zeros((0, 0)))]).to_json()
    assert (body["decision"], body["limits"][0]["limit"], body["limits"][0]["verdict"]) == ("first", "finite", "passed")
