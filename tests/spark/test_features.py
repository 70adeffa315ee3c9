"""Vocabulary, interactions and features on hand-computed tables: what is known at the end of a day, and nothing later."""

from datetime import date

import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs import build_features, ingest_events
from tests.spark.conftest import DAY, at, land, make_context

pytestmark = pytest.mark.spark
BEFORE, AFTER = date(2024, 3, 9), date(2024, 3, 11)


def event(user, item, time, action="view", **more):
    return {"user_id": user, "item_id": item, "action": action, "event_time": at(time), **more}


def build(lake, day=DAY, kind="nightly", **config):
    context = make_context(lake, day, kind, **config)
    ingest_events.run(context)
    return build_features.run(context)


def ids(spark, lake, kind):
    rows = delta_io.read(spark, lake, tables.VOCABULARY).where(f"kind = '{kind}'").collect()
    return {row["raw_id"]: row["dense_id"] for row in rows}


def features(spark, lake, table, key, dense):
    return delta_io.read(spark, lake, table).where(f"{key} = {dense}").collect()[0]


def market(root):
    """Three days; u2's event of the 9th lands on the 11th, so nobody knows of it on the 10th."""
    lake = Lake(root)
    described = [
        {"item_id": "a", "title": "A", "categories": ["x", "y"], "price": 10.0, "availability_time": at("2024-03-01 00:00")},
        {"item_id": "b", "title": "B", "categories": ["x"], "price": None, "availability_time": at("2024-03-01 00:00")},
    ]
    land(lake, "items", BEFORE, described)
    land(lake, "users", BEFORE, [{"user_id": "u1", "attributes": [("country", "de")]}, {"user_id": "u0"}])
    land(
        lake,
        "events",
        BEFORE,
        [event("u1", "a", "2024-03-02 12:00"), event("u1", "b", "2024-03-09 12:00", "purchase", value=2.0)],
    )
    land(lake, "events", DAY, [event("u1", "a", "2024-03-10 12:00"), event("u2", "a", "2024-03-10 18:00", "click")])
    land(lake, "events", AFTER, [event("u2", "c", "2024-03-09 06:00"), event("u3", "b", "2024-03-11 06:00")])
    return lake


@pytest.fixture(scope="module")
def nights(spark, tmp_path_factory):
    """A full run, the same again, and the night after: each result, and after each the ids by kind."""
    lake, segment = market(tmp_path_factory.mktemp("nights")), {"features": {"segment_attribute": "country"}}
    found = []
    for day, kind, config in ((DAY, "full", segment), (DAY, "full", segment), (AFTER, "nightly", {})):
        found.append((build(lake, day, kind, **config), {which: ids(spark, lake, which) for which in ("user", "item")}))
    return found


def test_ids_are_given_in_order_of_first_availability_and_never_move(nights):
    (first, given), _, (night, after) = nights
    # u0 and u1 become available with the users file, at the start of its landing day; then by raw id.
    assert given == {"user": {"u0": 1, "u1": 2, "u2": 3}, "item": {"a": 1, "b": 2}}
    assert (first.counts["new_users"], first.counts["new_items"]) == (3, 2)
    assert after == {"user": {"u0": 1, "u1": 2, "u2": 3, "u3": 4}, "item": {"a": 1, "b": 2, "c": 3}}
    assert (night.counts["new_users"], night.counts["new_items"]) == (1, 1)


def test_twice_is_the_same_version_of_every_table(nights):
    (first, _), (again, _), _ = nights
    assert [(t["name"], t["to"], t["content_sha256"]) for t in again.tables] == [
        (t["name"], t["to"], t["content_sha256"]) for t in first.tables
    ]
    assert again.counts == first.counts


@pytest.fixture(scope="module")
def looking_back(spark, tmp_path_factory):
    """The lake knows the 11th, and features are taken as of the 10th."""
    lake = market(tmp_path_factory.mktemp("back"))
    build(lake, AFTER, kind="full")
    build(lake, DAY, kind="full", features={"segment_attribute": "country", "windows_days": (1, 7)})
    return lake


def test_user_features_are_what_was_known_at_the_end_of_the_day(spark, looking_back):
    one = features(spark, looking_back, tables.USER_FEATURES, "user", ids(spark, looking_back, "user")["u1"])
    values = one["features"]
    wanted = {"count_all": 3, "count_1d": 1, "count_7d": 2, "count_view_all": 2, "count_purchase_7d": 1, "items": 2}
    assert {name: values[name] for name in wanted} == wanted
    assert values["price_mean"] == 10.0
    assert values["recency_days"] == 0.5
    assert one["category_affinity"] == {"x": 1.0, "y": pytest.approx(2 / 3)}
    assert one["segment"] == "de"
    assert one["event_time"] == one["availability_time"] == at("2024-03-10 12:00").replace(tzinfo=None)
    late = features(spark, looking_back, tables.USER_FEATURES, "user", ids(spark, looking_back, "user")["u2"])
    assert (late["features"]["count_all"], late["segment"]) == (1, "")
    silent = features(spark, looking_back, tables.USER_FEATURES, "user", ids(spark, looking_back, "user")["u0"])
    assert silent["features"]["count_all"] == 0
    assert "recency_days" not in silent["features"]
    assert silent["event_time"] is None


def test_item_features_are_what_was_known_at_the_end_of_the_day(spark, looking_back):
    a = features(spark, looking_back, tables.ITEM_FEATURES, "item", 1)["features"]
    wanted = {"count_all": 3, "count_1d": 2, "count_7d": 2, "count_click_1d": 1, "users": 2, "price": 10.0}
    assert {name: a[name] for name in wanted} == wanted
    assert (a["popularity"], a["popularity_1d"]) == (0.75, 1.0)
    assert (a["recency_days"], a["age_days"]) == (0.25, 10.0)
    b = features(spark, looking_back, tables.ITEM_FEATURES, "item", 2)["features"]
    assert (b["value_mean"], b["count_1d"]) == (2.0, 0)
    assert "price" not in b
    unknown_then = features(spark, looking_back, tables.ITEM_FEATURES, "item", ids(spark, looking_back, "item")["c"])
    assert unknown_then["features"]["count_all"] == 0


def test_a_night_catches_up_a_day_that_nobody_built(spark, tmp_path):
    lake = market(tmp_path)
    build(lake, BEFORE, kind="full")
    ingest_events.run(make_context(lake, DAY))
    build(lake, AFTER)
    dense = delta_io.read(spark, lake, tables.INTERACTIONS).collect()
    assert len(dense) == 6
    late = next(row for row in dense if row["item"] == ids(spark, lake, "item")["c"])
    assert late["event_time"] == int(at("2024-03-09 06:00").timestamp() * 1e6)
    assert late["availability_time"] == int(at("2024-03-11 00:00").timestamp() * 1e6)
    assert (late["action"], late["event_date"], late["landing_date"]) == (2, BEFORE, AFTER)


def test_without_a_clock_windows_are_left_out_and_asking_for_them_is_refused(spark, lake):
    day = date(1970, 1, 1)
    land(lake, "events", day, [event("u", i, f"1970-01-01 00:00:0{n}") for n, i in enumerate("abc")], clock="position")
    result = build(lake, day, "full")
    assert "no clock" in result.counts["windowed_features"]
    found = features(spark, lake, tables.USER_FEATURES, "user", 1)["features"]
    assert found["count_all"] == 3
    assert not [name for name in found if name.endswith("d") or name == "recency_days"]
    with pytest.raises(ConfigError, match=r"features.windows_days \[3\]"):
        build_features.run(make_context(lake, day, "full", features={"windows_days": (3,)}))


def test_a_bot_stays_in_events_and_is_left_out_beyond_the_limits(spark, lake):
    def visits(day, items, user="bot"):
        return [event(user, item, f"{day} 12:00:{place:02}") for place, item in enumerate(items)]

    limits = {"features": {"most_events_user_day": 4, "most_events_user_item": 3}}
    land(lake, "events", BEFORE, [*visits("2024-03-09", "aabbcc"), *visits("2024-03-09", "abc", "u1")])
    land(lake, "events", DAY, visits("2024-03-10", "aab"))
    first = build(lake, DAY, "full", **limits)
    # Of the 9th the first four stay; of the 10th the second `a` would be the fourth of this user and item.
    assert first.counts["left_out"] == {"user_day": 2, "user_item": 1}
    assert delta_io.read(spark, lake, tables.EVENTS).count() == 12
    land(lake, "events", AFTER, visits("2024-03-11", "ab"))
    night = build(lake, AFTER, **limits)
    # Three of `a` and three of `b` were taken in by the full run.
    assert night.counts["left_out"] == {"user_item": 2}, "what earlier nights took in counts too"
    kept = delta_io.read(spark, lake, tables.INTERACTIONS)
    bot = ids(spark, lake, "user")["bot"]
    assert kept.where(f"user = {bot}").count() == 4 + 2 and kept.where(f"user <> {bot}").count() == 3
    assert features(spark, lake, tables.ITEM_FEATURES, "item", ids(spark, lake, "item")["c"])["features"]["count_all"] == 1
