"""The prequential figure: models from before a night, on all that happened on its date."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import write_deltalake

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.days import day_number
from nightrank.ranker.batch import Batch
from nightrank.trainer.evaluation.day_rows import day_rows, from_day
from nightrank.trainer.evaluation.recommenders import days_of as days
from nightrank.trainer.loop.validation import queries
from nightrank.trainer.stages import evaluate
from tests import evaluation_lake as lake
from tests.snapshots import Example, examples_table, make_snapshot, write_part

NIGHT = datetime(2024, 3, 1, tzinfo=UTC)


def at(*hours: float) -> list[int]:
    """Microseconds, hours after the beginning of the night's date."""
    return [int((NIGHT + timedelta(hours=hour)).timestamp() * 1_000_000) for hour in hours]


def batch(*rows: tuple[list[int], int]) -> Batch:
    return Batch.from_lists(
        items=[list(range(1, len(times) + 1)) for times, _ in rows],
        times=[times for times, _ in rows],
        loss_from=[loss_from for _, loss_from in rows],
        users=list(range(1, len(rows) + 1)),
    )


def test_targets_begin_at_the_first_label_of_the_day():
    rows = batch((at(-30, -2, 1, 5), 1), (at(-40, -30, -2), 1), (at(1, 2, 3), 2), (at(-3, 23.5), 1))
    found = from_day(rows, day_number(NIGHT.date()), "UTC")
    assert found.users_B.tolist() == [1, 3, 4], "user 2 has labels of earlier days alone: replayed, or late"
    assert found.loss_from_B.tolist() == [2, 2, 1]
    assert found.targets()[0].tolist() == [3, 4, 3, 2]
    berlin = from_day(rows, day_number(NIGHT.date()), "Europe/Berlin")
    assert berlin.users_B.tolist() == [1, 3, 4] and berlin.targets()[0].tolist() == [3, 4, 3, 2]
    assert from_day(batch((at(-5, -0.5), 1)), day_number(NIGHT.date()), "Europe/Berlin").rows == 1, "half past midnight there"


def test_days_are_those_of_the_kept_rows_where_a_user_has_several():
    two = Batch.from_lists([[1, 2, 3], [1, 2, 2]], times=[at(-9, -8, 1), at(-9, -30, 30)], loss_from=[2, 2], users=[7, 7])
    two = replace(two, actions_T=torch.full_like(two.actions_T, 2))
    found = queries(two, make_snapshot({}, items=3, filter_seen_actions=(2,)))
    assert (found.kept_B.tolist(), found.history.rows) == ([True, False], 1), "the second asks for an item that was seen"
    assert days(two, found.kept_B).tolist() == [day_number(NIGHT.date())]


@pytest.fixture
def night(tmp_path):
    """200 users with an earlier history of four items and two items of the day; every tenth also has a hold-out row. Ten more
    are replayed."""
    users = lake.sequences(210)
    train, holdout = [], []
    for user, items in enumerate(users, 1):
        old, new = items[:4], [(items[3] + n) % (lake.ITEMS - 1) + 1 for n in (1, 2)]
        if user > 200:
            train.append(Example(user, old, 1, times=at(-80, -70, -60, -50), source="replay"))
        elif user % 10:
            train.append(Example(user, [*old, *new], 4, times=at(-80, -70, -60, -50, 1, 2), source="day"))
        else:
            train.append(Example(user, [*old, new[0]], 4, times=at(-80, -70, -60, -50, 1), source="day"))
            holdout.append(Example(user, [*old, *new], 5, times=at(-80, -70, -60, -50, 1, 2), source="day"))
    whole = lake.published(tmp_path, users)
    parts = {
        "train": write_part(tmp_path, "examples_night", examples_table(train, "train"), [[100, 110]]),
        "holdout": write_part(tmp_path, "examples_holdout", examples_table(holdout, "holdout"), [[20]]),
        "vocabulary": whole.parts["vocabulary"],
    }
    snapshot = make_snapshot(parts, items=lake.ITEMS, users=210, kind="nightly", tables={"interactions": 0})
    snapshot.save(Lake(tmp_path).snapshot(snapshot.id))
    columns = {name: [None] for name in schemas.INTERACTIONS.names} | {"item": [1], "landing_date": [NIGHT.date()]}
    write_deltalake(str(tmp_path / "tables" / "interactions"), pa.table(columns, schema=schemas.INTERACTIONS))
    return tmp_path, snapshot


def test_each_label_of_the_day_is_a_target_of_one_row(night):
    root, snapshot = night
    found = list(day_rows(snapshot, root, day=day_number(NIGHT.date()), timezone="UTC", batch_rows=64))
    users = np.concatenate([one.users_B.numpy() for one in found])
    assert sum(len(one.targets()[0]) for one in found) == 2 * 200
    assert np.bincount(users)[1:].tolist() == [1 if user % 10 else 2 for user in range(1, 201)]


def test_a_night_measures_what_was_there_before_it(night):
    root, snapshot = night
    context = lake.context_of(root, "run-9", "nightly")
    lake.trained(context, snapshot, None, lake.bundle(root, 2))
    lake.ref_of(lake.bundle(root, 5), "run-8").save(root / "champion.json")
    full = lake.context_of(root, "a", "full")
    lake.ref_of(lake.bundle(root, 1), "a", 2, "2024-02-01").save(full.run_dir / "model_ref.json")
    output = evaluate.run(context).output
    assert output.evaluation["day"].recommender == ["champion", "last_full"]
    assert output.evaluation["day"].rows + output.evaluation["day"].dropped == 220
    rows = [row for row in output.metrics if (row["split"], row["slice"], row["name"], row["k"]) == ("day", "all", "ndcg", 10)]
    assert [row["recommender"] for row in rows] == ["champion", "last_full"] and all(0 < row["value"] < 1 for row in rows)
    assert not [row for row in output.comparisons if row["split"] == "day"], "the challenger has learnt these rows"


def test_a_full_run_has_no_day(tmp_path):
    snapshot = lake.published(tmp_path, lake.sequences(20))
    context = lake.context_of(tmp_path)
    lake.trained(context, snapshot, None, lake.bundle(tmp_path, 2))
    lake.ref_of(lake.bundle(tmp_path, 5), "run-0").save(tmp_path / "champion.json")
    assert "day" not in evaluate.run(context).output.evaluation
