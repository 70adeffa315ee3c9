"""What the gate compares: figures of the same rows, few rows with a wider interval, and how a decision is written down."""

from math import log2

import numpy as np
import pytest

from nightrank.ranker.metrics.ranking import paired_delta
from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.evaluation import decision as rule
from nightrank.trainer.evaluation.decision import Decision, decided
from nightrank.trainer.evaluation.pooling import PairedRows
from nightrank.trainer.evaluation.recommenders import ListRecommender
from nightrank.trainer.evaluation.sides import both
from tests.snapshots import Example, examples_table, make_snapshot, write_part


def rows_of(ours, theirs, count, nights=1):
    return PairedRows(np.full(count, ours), np.full(count, theirs), nights)


def test_a_decision_carries_its_figures():
    ours, theirs = np.random.default_rng(1).random((2, 1000))
    ours += 0.01
    config = GateConfig(samples=300, level=0.9)
    found = decided(PairedRows(ours, theirs, nights=3), config, 5, "champion's manifest")
    delta, low, high = paired_delta(ours, theirs, 5, 300, 0.9)
    figures = f"delta {delta:+.5f}, interval {low:+.5f} to {high:+.5f}, margin {0.02 * theirs.mean():.5f}"
    assert found == Decision(
        "promoted",
        (f"not clearly worse: {figures}",),
        delta,
        (low, high),
        1000,
        ours.mean(),
        theirs.mean(),
        "champion's manifest",
        3,
    )
    assert low < 0 < delta < high


def test_of_few_rows_the_interval_has_one_more_row_won_and_one_more_lost_and_the_delta_has_not():
    ours, theirs = np.random.default_rng(6).random((2, 150))
    found = decided(PairedRows(ours, theirs), GateConfig(), 3)
    assert (found.delta, found.n) == (pytest.approx((ours - theirs).mean()), 150)
    assert (found.challenger_ndcg, found.champion_ndcg) == (ours.mean(), theirs.mean())
    more = np.append(ours, [1, 0]), np.append(theirs, [0, 1])
    assert found.ci == paired_delta(*more, 3, 2000, 0.95)[1:]
    other = decided(PairedRows(ours, theirs), GateConfig(samples=500, level=0.6), 4)
    assert other.ci == paired_delta(*more, 4, 500, 0.6)[1:]


def test_enough_rows_are_counted_as_they_are():
    assert decided(rows_of(0.5, 0.25, 200), GateConfig(), 3).ci == (0.25, 0.25)


def test_without_rows_there_are_no_figures():
    found = decided(rows_of(0, 0, 0, nights=2), GateConfig(), 1, "manifest")
    assert found == Decision(
        "undecidable",
        ("0 hold-out rows of 2 nights, 200 are needed; they are pooled with those of the next nights",),
        n=0,
        champion="manifest",
        nights=2,
    )
    promoted = decided(rows_of(0, 0, 0, nights=14), GateConfig(), 1, "manifest")
    assert (promoted.decision, promoted.n, promoted.nights, promoted.champion) == ("promoted", 0, 14, "manifest")


def test_a_decision_as_json_is_lists_and_numbers():
    first = rule.first().to_json()
    assert (first["decision"], first["reasons"], first["ci"], first["n"], first["nights"]) == (
        "first",
        ["there is no champion yet"],
        None,
        0,
        1,
    )
    body = decided(rows_of(0.6, 0.5, 200), GateConfig(), 1).to_json()
    assert (body["ci"], body["n"], body["champion"]) == ([pytest.approx(0.1)] * 2, 200, None)
    assert isinstance(body["reasons"], list) and isinstance(body["ci"], list)


def snapshot_of(root, histories, **fields):
    """A snapshot whose hold-out rows are these users' histories with the last item as target."""
    rows = [Example(user, items, len(items) - 1) for user, items in enumerate(histories, 1)]
    part = write_part(root, "holdout", examples_table(rows, "holdout"), [[len(rows)]])
    return make_snapshot({"holdout": part}, items=20, users=len(rows), **fields)


class Lists(ListRecommender):
    """Lists of a table with a score for each place."""

    def on(self, snapshot, root):
        return self

    def scored(self, query, days, k):
        ids = self.lists(query, days, k)
        return ids, np.where(ids > 0, -np.arange(k, dtype=np.float64), -np.inf)


def lists(*stored):
    return Lists(np.arange(1, len(stored) + 1), np.array(stored, dtype=np.int32))


def test_challenger_and_champion_are_measured_at_10_on_the_same_rows(tmp_path):
    """The targets 3 and 4 stand first and second in the challenger's lists; in the champion's tenth and eleventh."""
    ours = lists([3, 20], [20, 4])
    theirs = lists([*range(5, 14), 3, 15], [*range(5, 15), 4])
    snapshot = snapshot_of(tmp_path, [[1, 2, 3], [2, 4]])
    for batch_rows in (1, 2):
        found = both(snapshot, tmp_path, ours, theirs, batch_rows)
        assert found.ours.ndcg_N.tolist() == pytest.approx([1, 1 / log2(3)])
        assert found.theirs.ndcg_N.tolist() == pytest.approx([1 / log2(11), 0])
        assert (found.history_N.tolist(), found.target_N.tolist()) == ([2, 1], [3, 4])
        assert found.ours.ids_NK[:, :2].tolist() == [[3, 20], [20, 4]] and found.ours.seconds > 0


def test_rows_without_a_target_that_may_be_listed_are_no_rows(tmp_path):
    """What was seen is not listed again: nothing is left to ask for."""
    snapshot = snapshot_of(tmp_path, [[1, 2, 2]], filter_seen_actions=(2,))
    found = both(snapshot, tmp_path, lists([2]), lists([3]))
    assert (len(found), found.ours.ids_NK.shape, found.theirs.ndcg_N.shape) == (0, (0, 10), (0,))


def test_a_snapshot_without_hold_out_rows_is_not_measured(tmp_path):
    found = both(make_snapshot({}, items=3), tmp_path, lists([2]), lists([3]))
    assert (len(found), found.theirs.scores_NK.shape, found.ours.seconds) == (0, (0, 10), 0.0)
