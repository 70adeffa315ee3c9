"""Vocabulary, interactions and features on hand-computed tables: what is known at the end of a day, and nothing later."""

from datetime import date

import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs import build_features, ingest_events
from tests.spark.conftest import DAY, at, land, make_context
from tests.unit.test_plugin_features import forget
from tests.unit.test_plugins import install

pytestmark = pytest.mark.spark
BEFORE, AFTER = date(2024, 3, 9), date(2024, 3, 11)
WANTED = {"user": ["count_7d", "purchase_28d"], "item": ["click_1d", "recency_days"], "attributes": ["country"]}


def event(user, item, time, action="view", **more):
    return {"user_id": user, "item_id": item, "action": action, "event_time": at(time), **more}


def build(lake, day=DAY, kind="nightly", **config):
    context = make_context(lake, day, kind, **config)
    ingest_events.run(context)
    return build_features.run(context)


def ids(spark, lake, kind):
    rows = delta_io.read(spark, lake, tables.VOCABULARY).where(f"kind = '{kind}'").collect()
    return {row["raw_id"]: row["dense_id"] for row in rows}


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
    lake, settings = market(tmp_path_factory.mktemp("nights")), {"features": WANTED}
    found = []
    for day, kind, config in ((DAY, "full", settings), (DAY, "full", settings), (AFTER, "nightly", {})):
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
    """The lake knows the 11th, and the vocabulary and the attributes are those of the 10th."""
    lake = market(tmp_path_factory.mktemp("back"))
    build(lake, AFTER, kind="full")
    build(lake, DAY, kind="full", features=WANTED)
    return lake


def counts(spark, lake, table, key, *counters):
    """(entity, day, counts) by entity, with a check that every event is counted under its action too."""
    rows = delta_io.read(spark, lake, table).orderBy(key, "day").collect()
    assert all(row["count"] == sum(row[name] for name in ACTION_CODES) for row in rows)
    return [(row[key], row["day"], *(row[name] for name in counters)) for row in rows]


def number(text):
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def test_users_and_items_are_counted_on_the_day_that_made_an_event_known(spark, looking_back):
    users, items = (ids(spark, looking_back, kind) for kind in ("user", "item"))
    # What happened on the 2nd landed on the 9th, and nobody had said that it was known before.
    ninth, tenth, eleventh = map(number, ("2024-03-09", "2024-03-10", "2024-03-11"))
    found = counts(spark, looking_back, tables.USER_DAYS, "user", "count", "purchase")
    u1, u2, u3 = users["u1"], users["u2"], users["u3"]
    assert found == [(u1, ninth, 2, 1), (u1, tenth, 1, 0), (u2, tenth, 1, 0), (u2, eleventh, 1, 0), (u3, eleventh, 1, 0)]
    found = counts(spark, looking_back, tables.ITEM_DAYS, "item", "count", "click")
    a, b, c = (items[name] for name in "abc")
    assert found == [(a, ninth, 1, 0), (a, tenth, 2, 1), (b, ninth, 1, 0), (b, eleventh, 1, 0), (c, eleventh, 1, 0)]


def test_a_late_event_counts_from_the_day_it_became_known(spark, tmp_path):
    lake = market(tmp_path)
    build(lake, AFTER, kind="full", features={"item": ["count_all"]})
    c, (ninth, eleventh) = ids(spark, lake, "item")["c"], map(number, ("2024-03-09", "2024-03-11"))
    rows = counts(spark, lake, tables.ITEM_DAYS, "item", "count")
    assert (c, eleventh, 1) in rows and (c, ninth, 1) not in rows
    assert not delta_io.exists(lake, tables.USER_DAYS), "nobody reads it"
    assert not delta_io.exists(lake, tables.USER_ATTRIBUTES)


def test_a_day_is_one_of_the_calendars_time_zone(spark, tmp_path):
    lake, zone = Lake(tmp_path), "America/New_York"
    # At three in UTC it is the evening before in New York; each landed on its own day there.
    land(lake, "events", BEFORE, [event("u", "a", "2024-03-10 03:00")], timezone=zone)
    land(lake, "events", DAY, [event("u", "a", "2024-03-10 18:00")], timezone=zone)
    build(lake, DAY, "full", calendar={"timezone": zone}, features={"user": ["count_1d"]})
    rows = counts(spark, lake, tables.USER_DAYS, "user", "count")
    assert rows == [(1, number("2024-03-09"), 1), (1, number("2024-03-10"), 1)]


def test_attributes_are_those_named_with_the_moment_they_were_known(spark, looking_back):
    rows = delta_io.read(spark, looking_back, tables.USER_ATTRIBUTES).collect()
    known = int(at("2024-03-09 00:00").timestamp()) * 1_000_000
    assert [(row["user"], row["attributes"], row["known_from"]) for row in rows] == [
        (ids(spark, looking_back, "user")["u1"], {"country": "de"}, known)
    ]


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


def test_the_counts_that_a_plug_ins_feature_reads_are_written(spark, tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    lake = market(tmp_path / "lake")
    build(lake, DAY, "full", features={"item": ["plugin.purchase_rate"]})
    forget()
    row = delta_io.read(spark, lake, tables.ITEM_DAYS).where("purchase > 0").first()
    assert (row["view"], row["purchase"], row["count"], row["click"]) == (0, 1, 1, 0)
    with pytest.raises(ConfigError, match=r"offers purchase_rates in nightrank.features"):
        build(lake, features={"item": ["plugin.purchase_rates"]})


def test_without_a_clock_nothing_is_known_as_of_a_day(spark, lake):
    day = date(1970, 1, 1)
    land(lake, "events", day, [event("u", i, f"1970-01-01 00:00:0{n}") for n, i in enumerate("abc")], clock="position")
    build(lake, day, "full")
    for settings in ({"user": ["count_7d"]}, {"item": ["count_all"]}, {"attributes": ["country"]}):
        with pytest.raises(ConfigError, match=r"features (count_7d|count_all|country): .* no clock"):
            build_features.run(make_context(lake, day, "full", features=settings))


def test_an_unknown_aggregate_is_refused_with_those_there_are(lake):
    with pytest.raises(ConfigError, match=r"unknown aggregate counts_7d: there are count_<N>d"):
        build_features.run(make_context(lake, features={"user": ["counts_7d"]}))


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
