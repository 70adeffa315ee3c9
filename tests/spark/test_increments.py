"""Nights that touch what their day touched leave what one full run leaves; late events, gaps, days in any order."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from nightrank.feature_store import delta_io, delta_log
from nightrank.feature_store.content_hash import content_sha256
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs import build_features, ingest_events
from tests.spark.conftest import at, land, make_context

pytestmark = pytest.mark.spark
DAYS = [date(2024, 3, 10) + timedelta(days=number) for number in range(4)]
LIMITS = {"most_events_user_item": 2}
READ = {"user": ["count_7d"], "item": ["purchase_28d"], **LIMITS}
RAW = (tables.INTERACTIONS, tables.USER_DAYS, tables.ITEM_DAYS)


def landed(root):
    """Each day brings a user and an item; the last also late events: one known since the second day, one nobody knew of."""
    lake = Lake(root)
    for number, day in enumerate(DAYS):
        rows = [(f"u{user}", f"i{(user * 3 + number) % 6}", day, None, "view") for user in range(number + 2)]
        rows += [("u0", "i0", day, None, "purchase")]
        if number == 3:
            rows += [("u1", "i9", DAYS[1], f"{DAYS[1]} 15:00", "click"), ("u7", "i0", DAYS[2], None, "cart")]
        events = [
            {
                "event_id": f"{number}-{place}", "user_id": user, "item_id": item, "action": action,
                "event_time": at(f"{when} 12:00:{place:02}"), "availability_time": known and at(known),
            }
            for place, (user, item, when, known, action) in enumerate(rows)
        ]  # fmt: skip
        land(lake, "events", day, events)
    return lake


def build(lake, number, kind="nightly", run_id=None, found=None, features=READ):
    context = replace(make_context(lake, DAYS[number], kind, run_id, features=features), found=found)
    return ingest_events.run(context), build_features.run(context)


def content(spark, lake):
    """By raw ids: dense ones depend on when an id was first seen."""
    names = delta_io.read(spark, lake, tables.VOCABULARY)
    raw = {(row["kind"], row["dense_id"]): row["raw_id"] for row in names.collect()}
    found = {"events": content_sha256(delta_io.read(spark, lake, tables.EVENTS), tables.EVENTS)}
    for table in RAW:
        ids = [name for name in ("user", "item") if name in table.schema.names]
        rows = (row.asDict() for row in delta_io.read(spark, lake, table).collect())
        found[table.name] = sorted(repr({**row, **{kind: raw[kind, row[kind]] for kind in ids}}) for row in rows)
    return found


def versions(lake):
    return {table.name: delta_io.version(lake, table) for table in (tables.EVENTS, tables.VOCABULARY, *RAW)}


@pytest.fixture(scope="module")
def whole(spark, tmp_path_factory):
    """One full run over all days: what it left by raw ids."""
    lake = landed(tmp_path_factory.mktemp("whole"))
    build(lake, 3, "full")
    return content(spark, lake)


def test_nights_leave_what_a_full_run_leaves_and_again_is_nothing_new(spark, tmp_path, whole):
    lake = landed(tmp_path)
    build(lake, 0, "full")
    build(lake, 1)
    build(lake, 2)
    users = f"delta.`{lake.table(tables.USER_DAYS.name).hadoop}`"
    spark.sql(f"UPDATE {users} SET `count` = `count` + 90")
    _, last = build(lake, 3)
    first, late, between, today = ((day - date(1970, 1, 1)).days for day in DAYS)
    rows = delta_io.read(spark, lake, tables.USER_DAYS).collect()
    assert {row["day"] for row in rows if row["count"] > 90} == {first, between}, "other days are not counted again"
    assert {row["day"] for row in rows if row["count"] < 90} == {late, today}, "the day of the late event is, as a whole"
    spark.sql(f"UPDATE {users} SET `count` = `count` - 90 WHERE `count` > 90")
    assert content(spark, lake) == whole
    entries = {entry["name"]: entry["content_sha256"] for entry in last.tables}
    stored = delta_io.read(spark, lake, tables.INTERACTIONS)
    assert entries["interactions"] == content_sha256(stored, tables.INTERACTIONS)
    before, ids = versions(lake), sorted(delta_io.read(spark, lake, tables.VOCABULARY).collect())
    build(lake, 3, run_id="again")
    assert versions(lake) == before
    build(lake, 3, "full", run_id="full")
    assert content(spark, lake) == whole
    assert sorted(delta_io.read(spark, lake, tables.VOCABULARY).collect()) == ids, "a full run never renumbers"


def test_days_in_any_order_end_in_the_same_also_on_a_lake_of_an_earlier_release(spark, tmp_path, whole):
    lake = landed(tmp_path)
    build(lake, 0, "full", features=LIMITS)
    build(lake, 2, features=LIMITS)
    ingest_events.run(make_context(lake, DAYS[1]))  # and nobody builds it: the next run does
    for table in (tables.EVENTS, tables.INTERACTIONS):
        _forget_notes(lake, table)
    assert not delta_io.exists(lake, tables.USER_DAYS)
    build(lake, 1, found=Found(newer=str(DAYS[2])))
    assert not delta_io.exists(lake, tables.USER_DAYS), "a back-fill leaves the features to the next night"
    build(lake, 3)
    assert content(spark, lake) == whole


def _forget_notes(lake, table):
    """As a release wrote them that did not say how far a table was built."""
    for number in range((delta_log.version(lake, table) or 0) + 1):
        path = lake.table(table.name).path / "_delta_log" / f"{number:020d}.json"
        path.write_text(path.read_text().replace("userMetadata", "otherMetadata"))
        (path.parent / f".{path.name}.crc").unlink(missing_ok=True)
