"""Lists in an experiment, over a small lake and a real bundle: arms with rules of their own, a drawn place, what is kept."""

from datetime import timedelta

import pytest

from nightrank.experiments.assignment import variant
from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.spark_jobs import score_users
from tests.spark.conftest import DAY, make_context
from tests.spark.test_rerank_scored import ITEMS, K, market
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
SHARES = {"control": 0.5, "diverse": 0.5}
RULES = {"candidates": ITEMS, "calibration": 0.99, "popularity": 1.0, "diversity": 0.2}


def scored(spark, lake, run_id, day=DAY, experiments=None, **rerank):
    """user -> rows of `recommendations`."""
    scoring = {"k": K, "rerank": rerank} if rerank else {"k": K}
    result = score_users.run(make_context(lake, day, "nightly", run_id, scoring=scoring, experiments=experiments or {}))
    rows: dict = {}
    for row in delta_io.read(spark, lake, tables.RECOMMENDATIONS).orderBy("user_id", "rank").collect():
        rows.setdefault(row["user_id"], []).append(row)
    return rows, {table["name"]: table["content_sha256"] for table in result.tables}


def shown(rows):
    return [(row["item_id"], row["score"], row["moved"]) for row in rows]


def test_each_arm_has_the_lists_that_its_rules_alone_would_make(spark, lake):
    market(spark, lake)
    crown(lake, ITEMS)
    plain, _ = scored(spark, lake, "plain")
    diverse, _ = scored(spark, lake, "diverse", **RULES)
    arms = {"control": {"share": 0.5}, "diverse": {"share": 0.5, "rerank": RULES}}
    name = next(name for name in map(str, range(99)) if {variant(name, f"u{user}", SHARES) for user in (1, 2)} == set(SHARES))
    mixed, hashes = scored(spark, lake, "mixed", experiments={"enabled": True, "name": name, "arms": arms})
    for user, rows in mixed.items():
        arm = variant(name, user, SHARES)
        assert {row["variant"] for row in rows} == {arm}
        assert shown(rows) == shown((plain if arm == "control" else diverse)[user]), (user, arm)
    assert {row["variant"] for rows in plain.values() for row in rows} == {None}
    assert set(hashes) == {"recommendations", "experiment_lists"}


def test_a_drawn_place_is_kept_with_its_chances_and_a_repeated_night_draws_the_same(spark, lake):
    market(spark, lake)
    crown(lake, ITEMS)
    plain, _ = scored(spark, lake, "plain")
    experiments = {"enabled": True, "explore": {"place": 2, "candidates": 5, "uniform": 1.0}}
    drawn, hashes = scored(spark, lake, "night", experiments=experiments)
    again, second = scored(spark, lake, "night-again", experiments=experiments)
    assert {user: shown(rows) for user, rows in drawn.items()} == {user: shown(rows) for user, rows in again.items()}
    assert hashes == second
    kept = {row["user_id"]: row for row in delta_io.read(spark, lake, tables.EXPERIMENT_LISTS).collect()}
    assert set(kept) == set(drawn), "the repeated night replaced its own lists"
    for user, row in kept.items():
        listed = [one["item_id"] for one in drawn[user]]
        assert row["list_id"] == again[user][0]["list_id"] and (row["variant"], row["experiment"]) == ("all", "lists")
        if row["chosen"] is None:  # a fallback list
            assert listed == [one["item_id"] for one in plain[user]]
            continue
        assert listed[0] == plain[user][0]["item_id"] and listed[1] == row["candidates"][row["chosen"]]
        assert plain[user][1]["item_id"] == row["candidates"][0] and len(row["candidates"]) == 5
        assert row["chances"] == pytest.approx([0.2] * 5) and row["scores"] == sorted(row["scores"], reverse=True)
    assert sum(row["chosen"] is not None for row in kept.values()) >= 2


@pytest.mark.slow
def test_lists_are_kept_for_some_days(spark, lake):
    market(spark, lake)
    crown(lake, ITEMS)
    experiments = {"enabled": True, "days": 2}
    for days in (0, 1, 3):
        scored(spark, lake, f"night-{days}", DAY + timedelta(days=days), experiments)
    dates = {row["date"] for row in delta_io.read(spark, lake, tables.EXPERIMENT_LISTS).select("date").distinct().collect()}
    assert dates == {DAY + timedelta(days=days) for days in (1, 3)}
