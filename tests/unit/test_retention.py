"""The retention report: a cohort that is chosen once, slices by hand, and when it asks for a full pass."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightrank.feature_store.contracts import cohort as cohorts
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.vocabulary_lineage import Lineage, save_lineage
from nightrank.ranker.batch import Batch
from nightrank.trainer.config.retention import RetentionConfig
from nightrank.trainer.evaluation.retention.facts import facts_of, pass_due
from nightrank.trainer.evaluation.retention.measured import Measured, slices_of
from nightrank.trainer.evaluation.retention.row_sets import chosen_cohort, row_sets
from nightrank.trainer.loop.validation import DAY_MICROSECONDS, queries
from nightrank.trainer.stages import evaluate
from tests import evaluation_lake as lakes
from tests.snapshots import Example, examples_table, make_snapshot, write_part

ROWS = lakes.sequences(30)


def full_run(root: Path):
    """A full run with hold-out rows; its context and snapshot."""
    context, snapshot = lakes.context_of(root, "full-2024-03-01"), lakes.published(root, ROWS, ROWS)
    lakes.trained(context, snapshot, lakes.bundle(root, 7), lakes.bundle(root, 7))
    return context, snapshot


def night(root: Path, day: int, last_full, replayed=()):
    """A night with a hold-out of ten rows and these replayed histories."""
    rows = [Example(user, items, len(items) - 1) for user, items in enumerate(ROWS[:10], 1)]
    parts = {"holdout": write_part(root, f"holdout_{day}", examples_table(rows, "holdout"), [[10]])}
    train = [Example(user, items) for user, items in enumerate(replayed, 1)]
    if train:
        table = examples_table(train, "train")
        place = table.schema.get_field_index("source")
        table = table.set_column(place, table.schema.field(place), [["replay"] * len(train)])
        parts["train"] = write_part(root, f"train_{day}", table, [[len(train)]])
    snapshot = make_snapshot(
        parts, kind="nightly", items=lakes.ITEMS, users=30, filter_seen_actions=(2,), date=f"2024-03-0{day}"
    )
    snapshot.save(lakes.Lake(root).snapshot(snapshot.id))
    context = replace(lakes.context_of(root, f"night-{day}", "nightly"), day=date(2024, 3, day))
    context = replace(context, found=Found(champion=last_full, last_full=last_full))
    lakes.trained(context, snapshot, None, lakes.bundle(root, 8))
    return context, snapshot


def ref_of(context, snapshot):
    return lakes.ref_of(lakes.bundle(context.root.path, 7), context.run_id).model_copy(update={"snapshot_id": snapshot.id})


def test_the_cohort_is_chosen_once_and_pinned_by_its_hash(tmp_path):
    context, snapshot = full_run(tmp_path)
    made = chosen_cohort(context, snapshot, 20)
    assert made is not None and (made.rows, made.run_id, made.snapshot_id) == (20, context.run_id, snapshot.id)
    later, other = night(tmp_path, 3, ref_of(context, snapshot))
    assert chosen_cohort(later, other, 5) == made == cohorts.cohort_of(context.lake), "kept over nights"
    assert cohorts.cohort_rows(context.lake, made).num_rows == 20
    path = cohorts.rows_place(context.lake).path
    table = pq.read_table(path).slice(1)
    pq.write_table(table, path)
    with pytest.raises(DataContractError, match="is not the cohort that was chosen"):
        cohorts.cohort_rows(context.lake, made)
    cohorts.correct(context.lake)
    corrected = cohorts.cohort_of(context.lake)
    assert corrected is not None and corrected.rows == 19 and corrected.date == made.date
    assert cohorts.cohort_rows(context.lake, corrected).num_rows == 19


def test_a_lake_from_before_gets_its_cohort_from_the_last_full_run(tmp_path):
    context, snapshot = full_run(tmp_path)
    later, other = night(tmp_path, 3, ref_of(context, snapshot))
    made = chosen_cohort(later, other, 1000)
    assert made is not None and (made.rows, made.run_id) == (30, context.run_id)
    alone, third = night(tmp_path / "other", 3, None)
    assert chosen_cohort(alone, third, 1000) is None, "a night alone chooses none"


def test_after_a_reset_of_the_vocabulary_a_cohort_is_chosen_again(tmp_path):
    context, snapshot = full_run(tmp_path)
    chosen_cohort(context, snapshot, 20)
    save_lineage(context.lake, Lineage(number=2, vocabulary_from=9, status="done", begun="now"))
    again = snapshot.model_copy(update={"tables": {"vocabulary": 9}})
    again.save(context.lake.snapshot(again.id))
    made = chosen_cohort(context, again, 10)
    assert made is not None and (made.rows, made.snapshot_id) == (10, again.id)


def test_replayed_rows_are_asked_for_their_last_position_and_a_set_without_rows_is_none(tmp_path):
    context, snapshot = full_run(tmp_path)
    later, other = night(tmp_path, 3, ref_of(context, snapshot), replayed=[[1, 2, 3], [4], [5, 6]])
    sets = row_sets(later, other, chosen_cohort(later, other, 7), 7)
    assert {name: rows.num_rows for name, rows in sets.items()} == {"holdout": 7, "cohort": 7, "replay": 2}
    assert sets["replay"].column("loss_from").to_pylist() == [2, 1]
    assert set(row_sets(context, snapshot, None, 7)) == {"holdout"}


def test_slices_by_hand():
    day = DAY_MICROSECONDS
    batch = Batch.from_lists(
        [[1, 2, 3], [1, 2, 3, 9], [1, 2, 3, 4], [7, 2]],
        times=[[day, 2 * day, 3 * day], [day, 2 * day, 3 * day, 20 * day], [day] * 4, [0, 0]],
        loss_from=[2, 3, 3, 1],
    )
    query = queries(batch, make_snapshot({}, items=9))
    targets, offsets = (part.numpy() for part in query.targets)
    config = RetentionConfig(new_user_events=2, dormant_days=14)
    found = slices_of(batch, query, targets[offsets[:-1]], config, known_items=8)
    assert {name: np.flatnonzero(inside).tolist() for name, inside in found.items()} == {
        "old_items": [0, 2, 3],
        "new_items": [1],
        "new_users": [0, 3],
        "active_users": [2],
        "dormant_users": [1],
    }


def of_models(**values):
    return Measured({name: np.asarray(column) for name, column in values.items()}, {})


def test_it_asks_only_for_a_loss_beyond_the_limit_that_is_no_chance():
    full = np.random.default_rng(1).uniform(0.3, 0.7, 300)
    config = RetentionConfig(rows=200)
    assert pass_due(of_models(challenger=full * 0.8, last_full=full), config, 1)[0]
    assert not pass_due(of_models(challenger=full * 0.95, last_full=full), config, 1)[0]
    assert not pass_due(of_models(challenger=full * 1.2, last_full=full), config, 1)[0]
    assert not pass_due(of_models(challenger=full * 0.8, last_full=full), RetentionConfig(drop=None), 1)[0]
    few, words = pass_due(of_models(challenger=full[:9] * 0.5, last_full=full[:9]), config, 1)
    assert not few and words == "9 rows of the cohort have a target left, 200 are needed to ask for a full pass"
    assert pass_due(None, config, 1) == (False, "there is nothing to compare on the cohort")


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99))
def test_a_model_never_asks_for_a_pass_against_itself(seed, drop):
    full = np.random.default_rng(seed).uniform(0, 1, 250)
    assert not pass_due(of_models(challenger=full, last_full=full), RetentionConfig(drop=drop, samples=100), seed)[0]


def test_a_slice_without_rows_has_no_figure():
    found = Measured({"champion": np.array([0.5, 1.0])}, {"new_items": np.zeros(2, bool), "old_items": np.ones(2, bool)})
    rows = {row.slice: row for row in facts_of({"cohort": found}, None, RetentionConfig(), 1).rows}
    assert (rows["new_items"].ndcg, rows["new_items"].ci, rows["new_items"].n) == (None, None, 0)
    assert (rows["all"].ndcg, rows["old_items"].n) == (0.75, 2)


def test_a_night_measures_three_models_on_three_sets(tmp_path):
    context, snapshot = full_run(tmp_path)
    later, _ = night(tmp_path, 3, ref_of(context, snapshot), replayed=ROWS[:12])
    section = evaluate.retention_of(later, evaluate.run_snapshot(later))
    assert section is not None
    whole = {(row.set, row.model): row.n for row in section.rows if row.slice == "all"}
    assert whole == {
        (name, model): n
        for name, n in (("holdout", 10), ("cohort", 30), ("replay", 12))
        for model in ("challenger", "champion", "last_full")
    }
    same = {row.model: row.ndcg for row in section.rows if (row.set, row.slice) == ("cohort", "all")}
    assert same["champion"] == same["last_full"] != same["challenger"]
    first = evaluate.retention_of(context, snapshot)
    assert first is not None and {row.model for row in first.rows} == {"challenger"} and not first.asks_for_full
    off = replace(later, config=lakes.context_of(tmp_path, "off", retention={"enabled": False}).config)
    assert evaluate.retention_of(off, evaluate.run_snapshot(later)) is None
