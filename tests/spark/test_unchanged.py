"""With the model of the night before, only users for whom something changed are scored, and the lists are the same."""

from datetime import timedelta

import numpy as np
import pytest

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.content_hash import content_sha256
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.contracts.rerank_settings import RerankSettings
from nightrank.feature_store.contracts.settings import CalendarSettings, TrainingSetSettings
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.pipeline.report.changes import compared
from nightrank.pipeline.report.explored import explored
from nightrank.spark_jobs import release, score_users
from nightrank.spark_jobs.executor.rerank import RerankRules
from nightrank.spark_jobs.executor.shop_rules import ShopRules
from nightrank.spark_jobs.executor.users import ScoreRules
from nightrank.spark_jobs.scoring import unchanged
from nightrank.spark_jobs.scoring.unchanged import with_inputs
from tests.spark.conftest import DAY, make_context
from tests.spark.hand_lake import append, event, fill
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
ITEMS, USERS = 30, 150
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def first_night(spark, lake):
    """150 users with histories of one to nine items; the last three have none. Lists of DAY are released."""
    draw = np.random.default_rng(4)
    rows = [
        event(user, int(item), f"2024-03-0{2 + place // 6} {user % 24:02}:{user // 24:02}:{place:02}", DAY - timedelta(days=1))
        for user in range(1, USERS - 2)
        for place, item in enumerate(draw.integers(1, ITEMS + 1, draw.integers(1, 10)))
    ]
    fill(spark, lake, rows, [(f"i{item}", ["a"], 1.0) for item in range(1, ITEMS + 1)], users=USERS, items=ITEMS)
    crown(lake, ITEMS)
    return lake


def scored(lake, run_id, day=NEXT, **scoring):
    """(counts of the stage, rows of the lists by user, content hash)."""
    context = make_context(lake, day, "nightly", run_id, scoring={"k": 5, **scoring})
    return context, run_stage("score_users", score_users.run, context)


def night(spark, lake, run_id, day=NEXT, **scoring):
    _, result = scored(lake, run_id, day, **scoring)
    rows = delta_io.read(spark, lake, tables.RECOMMENDATIONS)
    return result.counts, content_sha256(rows, tables.RECOMMENDATIONS), {row["run_id"] for row in rows.collect()}


def released(lake, run_id, day=DAY, **scoring):
    context, result = scored(lake, run_id, day, **scoring)
    run_stage("release", release.run, context)
    return result.counts


def whole(spark, lake, monkeypatch, run_id, **scoring):
    with monkeypatch.context() as patched:
        patched.setattr(unchanged, "_comparable_release", lambda *_: None)
        return night(spark, lake, run_id, **scoring)


def test_only_users_with_new_events_are_scored_and_the_content_is_that_of_scoring_all(spark, first_night, monkeypatch) -> None:
    lake = first_night
    assert released(lake, "first") == {"users_scored": USERS, "users_unchanged": 0} | released_counts(lake)
    late = [event(user, 7, "2024-03-11 01:00:00", NEXT) for user in (3, 40)]
    append(spark, lake, tables.INTERACTIONS, late, make_context(lake, run_id="more"))
    counts = released(lake, "second", NEXT)
    rows = delta_io.read(spark, lake, tables.RECOMMENDATIONS)
    content, runs = content_sha256(rows, tables.RECOMMENDATIONS), {row["run_id"] for row in rows.collect()}
    # The two, and those without a history: what is popular is another every night.
    assert (counts["users_scored"], counts["users_unchanged"]) == (5, USERS - 5)
    _the_page_sees_it(lake)
    again, expected, _ = whole(spark, lake, monkeypatch, "third")
    assert (again["users_scored"], content) == (USERS, expected) and runs == {"second"}


def _the_page_sees_it(lake) -> None:
    """Two releases that Spark wrote, as the report reads them."""
    made = delta_read.latest_release(lake)
    found = compared(lake, made)
    assert (found.both, found.before_date) == (USERS, str(DAY)) and len(found.changed) <= 5
    view = explored(lake, made, found, (TrainingSetSettings(), CalendarSettings()), named=True)
    late = next(user for user in view["users"] if user["user_id"] == "u3")
    assert late["history"][0] == ("i7", "view") and len(late["list"]) == len(late["before"]) == 5
    assert view["items_of"] == ITEMS and view["items"]["i7"]["category"] == "a"


def released_counts(lake):
    return {"items_not_scored": 0, "items_unavailable": 0, "items_vanished": 0}


def users(spark, *times):
    """One user with a view of item 1, 2, ... at each of the times."""
    rows = [(1, "u1", "", list(range(1, len(times) + 1)), [2] * len(times), list(times))]
    return spark.createDataFrame(
        rows, "user int, user_id string, segment string, items array<int>, actions array<tinyint>, times array<bigint>"
    )


def rules_with(spark, folder, **changed):
    """Rules over two hidden items; `hidden` are their ids."""
    hidden = str(folder / str(len(list(folder.iterdir()))))
    spark.createDataFrame([(item,) for item in changed.pop("hidden", (4, 5))], "item int").write.parquet(hidden)
    base = ScoreRules(
        bundle="b", manifest="m", popular=hidden, items=9, k=5, batch_users=4, max_length=6, history_actions=(2,),
        collapse_repeats=True, seen_actions=(2,), seen_from=None, hidden=hidden,
    )  # fmt: skip
    return base._replace(**changed)


def test_inputs_change_with_what_a_list_is_made_of_and_with_nothing_else(spark, tmp_path, lake) -> None:
    context = make_context(lake)

    def inputs(frame=None, **changed):
        frame = users(spark, 10, 20) if frame is None else frame
        return with_inputs(frame, spark, context, rules_with(spark, tmp_path, **changed)).first()["inputs"]

    same = inputs()
    assert same == inputs(bundle="copied elsewhere", hidden=(5, 4), popular="not read by the model's own lists")
    side = str(tmp_path / "0")
    rerank = RerankRules(RerankSettings(diversity=0.5), side)
    shop = ShopRules((ListRule(kind="deny", item="i7"),), (), side)
    changed = [
        {"k": 6}, {"manifest": "n"}, {"hidden": (4,)}, {"max_length": 5}, {"collapse_repeats": False}, {"seen_actions": (2, 3)},
        {"rerank": rerank, "popular": side}, {"shop": shop, "popular": side}, {"seen_from": 15},
        {"features": Features(timezone="UTC")},
    ]  # fmt: skip
    found = [inputs(**change) for change in changed]
    others = [inputs(users(spark, 10)), inputs(users(spark, 10, 21)), inputs(users(spark, 10, 20).replace("", "de", "segment"))]
    assert len({same, *found, *others}) == 1 + len(found) + len(others)
    # A window moves on: only who has an event that leaves it is another.
    assert inputs(seen_from=15) == inputs(seen_from=20) != inputs(seen_from=21)
