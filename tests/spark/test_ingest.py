"""Ingest on landed files: what goes in, what goes to quarantine and why, and that doing it again changes nothing."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.content_hash import content_sha256
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.erasures import Receipt, marker_of, save_receipt
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, NothingToDo, SafetyRefusal
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.landing_days import landing_days
from nightrank.spark_jobs import ingest_events
from tests.spark.conftest import DAY, at, land, make_context

pytestmark = pytest.mark.spark
NOON = at("2024-03-10 12:00")
LENIENT = {"ingest": {"max_quarantine_fraction": 1.0}}


def event(user="u1", item="i1", time=NOON, **more):
    return {"user_id": user, "item_id": item, "action": "view", "event_time": time, **more}


def rows_of(spark, lake, table):
    return [row.asDict() for row in delta_io.read(spark, lake, table).collect()]


def hashes(spark, lake, *names):
    found = [tables.CATALOGUE[name] for name in names]
    return {t.name: content_sha256(delta_io.read(spark, lake, t), t) for t in found if delta_io.exists(lake, t)}


BROKEN = {
    "null_user_id": event(user=None),
    "null_item_id": event(item=" "),
    "bad_user_id": event(user="7.0"),
    "bad_item_id": event(item="9223372036854775808"),
    "bad_time": event(time=None, context=[("_raw", "event_time=yesterday")]),
    "null_event_time": event(time=None),
    "ancient_event": event(time=at("1969-12-31 23:59:59")),
    "future_event": event(time=at("2024-03-11 01:00:01")),
    "bad_propensity": event(propensity=0.0),
    "bad_position": event(position=-1),
}


def test_every_kind_of_broken_row_has_its_reason_and_the_rest_goes_in(spark, lake):
    numbers = [{**row, "user_id": "5" if row["user_id"] == "u1" else row["user_id"]} for row in BROKEN.values()]
    numbers = [{**row, "item_id": "6" if row["item_id"] == "i1" else row["item_id"]} for row in numbers]
    numbers.append(numbers[0])
    unread = [("_unread", "value=9,99 EUR")]
    good = [
        event(user="9007199254740993", item="-3", context=unread),
        event(user="007", item="4", time=at("2024-03-11 00:59:59")),
    ]
    land(lake, "events", DAY, numbers + good, id_type="int64")
    result = ingest_events.run(make_context(lake, **LENIENT))
    assert result.counts["quarantined"] == {reason: 2 if reason == "null_user_id" else 1 for reason in BROKEN}
    stored = rows_of(spark, lake, tables.EVENTS)
    assert {(row["user_id"], row["item_id"]) for row in stored} == {("9007199254740993", "-3"), ("7", "4")}
    assert (result.counts["events"], result.counts["duplicates"], result.counts["late"]) == (2, 0, 0)
    kept = rows_of(spark, lake, tables.QUARANTINE)
    assert len(kept) == len(BROKEN) + 1
    assert all(row["file"] == "landing/events/day=2024-03-10/part-0.parquet" for row in kept)
    assert json.loads(next(r["row"] for r in kept if r["reason"] == "bad_user_id"))["user_id"] == "7.0"


def test_duplicates_late_events_unknown_items_and_unknown_actions_are_counted(spark, lake):
    land(lake, "items", DAY, [{"item_id": "i1", "title": "One", "price": float("nan")}])
    first = [event(), event(), event(event_id="e1"), event(event_id="e1", time=at("2024-03-10 13:00"))]
    late = [event(time=at("2024-03-08 23:00")), event(item="i9", action="Teleport")]
    land(lake, "events", DAY, first + late)
    counts = ingest_events.run(make_context(lake)).counts
    assert counts.pop("erased") == 0
    assert counts == {"landed": 6, "events": 4, "duplicates": 2, "late": 1, "unknown_items": 1, "quarantined": {}}
    stored = {row["event_time"].isoformat()[:16]: row for row in rows_of(spark, lake, tables.EVENTS)}
    overdue = stored["2024-03-08T23:00"]
    assert overdue["event_date"] == date(2024, 3, 8)
    assert overdue["availability_time"] == at("2024-03-10 00:00").replace(tzinfo=None)
    assert {row["action"] for row in rows_of(spark, lake, tables.EVENTS)} == {"view", "other"}
    items = {row["item_id"]: row for row in rows_of(spark, lake, tables.ITEMS)}
    assert items["i1"]["price"] is None
    assert items["i9"]["title"] is None
    assert items["i9"]["availability_time"] == NOON.replace(tzinfo=None)


def test_a_redo_under_another_time_zone_adds_up_and_an_unreadable_amount_keeps_its_event(spark, lake):
    raw = [("_raw", "value=1,2,3")]
    bad = [event(user="u2", value=float("nan"), context=raw), event(user="u3", value=float("inf")), event(user=None)]
    rows = [event(time=at("2024-03-10 23:30")), event(time=at("2024-03-10 00:30")), event(time=at("2024-03-10 00:30")), *bad]
    land(lake, "events", DAY, rows)
    first = ingest_events.run(make_context(lake, **LENIENT))
    again = ingest_events.run(make_context(lake, run_id="redo", calendar={"timezone": "Europe/Berlin"}, **LENIENT))
    for result in (first, again):
        assert {k: result.counts[k] for k in ("landed", "events", "duplicates")} == {"landed": 6, "events": 4, "duplicates": 1}
        section = result.output.sections["ingest"]
        assert section["quarantined"] == 1 and section["unreadable"] == {"value": 2}
        assert [(f["column"], f["reason"], f["rows"], len(f["samples"])) for f in section["faults"]] == [
            ("user_id", "null_user_id", 1, 1)
        ]
    assert delta_io.read(spark, lake, tables.EVENTS).count() == 4, "nothing stands twice"
    land(lake, "events", DAY, rows[:2])
    fewer = ingest_events.run(make_context(lake, run_id="fewer", **LENIENT)).counts
    assert (fewer["landed"], fewer["events"], fewer["duplicates"]) == (2, 2, 0)


def test_twice_is_the_same_versions_and_an_older_day_is_applied(spark, lake):
    land(lake, "items", DAY, [{"item_id": "i1", "title": "New"}])
    land(lake, "events", DAY, [event(), event(user="u2")])
    older = date(2024, 3, 9)
    land(lake, "items", older, [{"item_id": "i1", "title": "Old"}, {"item_id": "i0", "title": "Zero"}])
    land(lake, "events", older, [event(time=at("2024-03-09 12:00"))])
    first = ingest_events.run(make_context(lake, run_id="a"))
    again = ingest_events.run(make_context(lake, run_id="b"))
    assert [(t["name"], t["to"], t["content_sha256"]) for t in again.tables] == [
        (t["name"], t["to"], t["content_sha256"]) for t in first.tables
    ]
    assert (again.rows_out, again.counts) == (0, first.counts)
    back = ingest_events.run(make_context(lake, day=older))
    assert back.counts["events"] == 1
    assert delta_io.read(spark, lake, tables.EVENTS).count() == 3
    titles = {row["item_id"]: row["title"] for row in rows_of(spark, lake, tables.ITEMS)}
    assert titles == {"i1": "New", "i0": "Zero"}


def test_a_stub_gives_way_to_the_item_even_if_that_is_older(spark, lake):
    land(lake, "events", DAY, [event(item="i5")])
    ingest_events.run(make_context(lake))
    after = date(2024, 3, 11)
    land(lake, "events", after, [event(item="i5", time=at("2024-03-11 09:00"))])
    land(lake, "items", after, [{"item_id": "i5", "title": "Five", "availability_time": at("2024-03-01 00:00")}])
    ingest_events.run(make_context(lake, day=after))
    assert [row["title"] for row in rows_of(spark, lake, tables.ITEMS)] == ["Five"]


def test_a_full_run_takes_every_day_up_to_its_date(spark, lake):
    for day in (8, 9, 10, 11):
        land(lake, "events", date(2024, 3, day), [event(time=at(f"2024-03-{day:02d} 08:00"))])
    result = ingest_events.run(make_context(lake, kind="full"))
    assert (result.counts["events"], result.rows_in) == (3, 3)


def test_a_night_takes_the_days_since_its_champion(spark, lake, monkeypatch):
    for back in (3, 2, 1, 0):
        land(lake, "events", DAY - timedelta(days=back), [event(time=NOON - timedelta(days=back))])
    assert landing_days(make_context(lake), "events") == [DAY], "without a champion a night is its own day"
    champion = {"name": "m", "version": 1, "alias": "champion", "mlflow_run_id": "r", "manifest_sha256": "0" * 64,
                "vocabulary_lineage": "l", "vocabulary_items": 1, "snapshot_id": "s", "run_id": "full", "bundle": "models/x",
                "date": str(DAY - timedelta(days=3))}  # fmt: skip
    write_json(lake.root / "champion.json", champion)
    assert ingest_events.run(make_context(lake)).counts["events"] == 3
    assert ingest_events.run(make_context(lake, DAY - timedelta(days=3))).counts["events"] == 1, "a back-fill is one day"


def test_a_day_of_the_configured_time_zone(spark, lake):
    land(lake, "events", DAY, [event(time=at("2024-03-09 23:30"))])
    ingest_events.run(make_context(lake, calendar={"timezone": "Europe/Berlin"}))
    assert [row["event_date"] for row in rows_of(spark, lake, tables.EVENTS)] == [DAY]


def test_another_zone_than_that_of_the_import_is_refused_and_a_first_date_can_be_set(spark, lake):
    land(lake, "events", DAY, [event(), event(user="u2", time=at("2019-12-31 22:59"))], timezone="Europe/Berlin")
    with pytest.raises(ConfigError, match=r"has days in the time zone Europe/Berlin, but calendar.timezone is UTC"):
        ingest_events.run(make_context(lake))
    settings = {"calendar": {"timezone": "Europe/Berlin"}, "ingest": {"first_date": "2020-01-01"}}
    assert ingest_events.run(make_context(lake, **settings)).counts["quarantined"] == {"ancient_event": 1}


def test_unknown_items_can_be_quarantined(spark, lake):
    land(lake, "items", DAY, [{"item_id": "i1"}])
    land(lake, "events", DAY, [event(), event(item="i9")])
    result = ingest_events.run(make_context(lake, ingest={"unknown_items": "quarantine"}))
    assert result.counts["quarantined"] == {"unknown_item": 1}
    assert [row["item_id"] for row in rows_of(spark, lake, tables.ITEMS)] == ["i1"]


def test_hashed_user_ids_leave_no_raw_id_anywhere(spark, lake, tmp_path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123")
    raw = "alice@example.org"
    land(lake, "users", DAY, [{"user_id": raw, "attributes": [("country", "de")]}])
    unread = [("_raw", f"user_id={raw}"), ("_unread", f"value={raw}"), ("device", "web")]
    kept = event(user=raw, value=float("nan"), time=at("2024-03-10 13:00"), context=unread)
    land(lake, "events", DAY, [event(user=raw), kept, event(user=raw, position=-1, context=unread)])
    ingest_events.run(make_context(lake, ids={"hash_users": True, "key_file": str(key)}))
    ids = {row["user_id"] for t in (tables.EVENTS, tables.USERS) for row in rows_of(spark, lake, t)}
    assert len(ids) == 1
    assert len(ids.pop()) == 64
    quarantine = rows_of(spark, lake, tables.QUARANTINE)
    assert len(quarantine) == 1
    assert raw not in quarantine[0]["row"]
    assert [row["context"] for row in rows_of(spark, lake, tables.EVENTS) if row["context"]] == [{"device": "web"}]
    parquet = b"".join(path.read_bytes() for path in (lake.root / "tables").path.rglob("*") if path.is_file())
    assert raw.encode() not in parquet


def test_the_key_must_exist_and_stand_outside_the_lake(lake, tmp_path):
    land(lake, "events", DAY, [event()])
    inside = lake.root / "key"
    inside.write_text("0123456789abcdef")
    for path, error in ((inside, SafetyRefusal), (tmp_path / "absent", ConfigError), (None, ConfigError)):
        with pytest.raises(error, match="key"):
            ingest_events.run(make_context(lake, ids={"hash_users": True, "key_file": path and str(path)}))


def test_a_lake_keeps_to_the_key_it_began_with(spark, lake, tmp_path):
    keys = [{"hash_users": True, "key_file": str(tmp_path / name)} for name in ("first", "second")]
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"{name} 0123456789abcdef")
    land(lake, "events", DAY, [event()])
    ingest_events.run(make_context(lake, ids=keys[0]))
    before = rows_of(spark, lake, tables.EVENTS)
    assert b"0123456789abcdef" not in (lake.root / "user_ids.json").read_bytes()
    land(lake, "events", DAY, [event(), event(item="i2")])
    for ids, words in ((keys[1], "another key"), ({}, "stores hashes of user ids")):
        with pytest.raises(SafetyRefusal, match=words) as refused:
            ingest_events.run(make_context(lake, ids=ids))
        assert refused.value.exit_code == 9
    assert rows_of(spark, lake, tables.EVENTS) == before
    ingest_events.run(make_context(lake, ids=keys[0]))
    after = rows_of(spark, lake, tables.EVENTS)
    assert (len(after), {row["user_id"] for row in after}) == (2, {row["user_id"] for row in before})


def test_a_lake_of_plain_ids_takes_no_hashes(lake, tmp_path):
    (tmp_path / "key").write_text("0123456789abcdef")
    land(lake, "events", DAY, [event()])
    ingest_events.run(make_context(lake))
    with pytest.raises(SafetyRefusal, match="stores user ids as they are"):
        ingest_events.run(make_context(lake, ids={"hash_users": True, "key_file": str(tmp_path / "key")}))


def test_nothing_landed_is_nothing_to_do(lake):
    land(lake, "events", date(2024, 3, 9), [event()])
    with pytest.raises(NothingToDo, match="2024-03-10"):
        ingest_events.run(make_context(lake))
    land(lake, "events", DAY, [])
    with pytest.raises(NothingToDo):
        ingest_events.run(make_context(lake))
    assert not (lake.root / "tables").exists()


def test_a_night_without_events_takes_in_what_changed_of_items(spark, lake):
    yesterday = DAY - timedelta(days=1)
    land(lake, "events", yesterday, [event(time=NOON - timedelta(days=1))])
    ingest_events.run(make_context(lake, yesterday))
    sold_out = {"item_id": "i1", "available": False, "fields": ["available"]}
    land(lake, "items", DAY, [sold_out, {"item_id": "i2", "title": "new"}])
    without = replace(make_context(lake), found=Found(without_events=True))
    result = ingest_events.run(without)
    assert (result.counts["events"], result.rows_in) == (0, 2)
    assert {row["item_id"]: (row["title"], row["available"]) for row in rows_of(spark, lake, tables.ITEMS)} == {
        "i1": (None, False),
        "i2": ("new", None),
    }
    land(lake, "items", DAY, [{"item_id": None}])
    with pytest.raises(DataContractError, match="1 of 1 landed items are broken"):
        ingest_events.run(without)
    land(lake, "items", DAY, [])
    with pytest.raises(NothingToDo):
        ingest_events.run(without)


def test_a_day_that_is_mostly_broken_is_refused_before_anything_is_written(lake):
    land(lake, "events", DAY, [event(user=None), event(user=None), event(position=-1), event()])
    with pytest.raises(DataContractError, match=r"3 of 4 landed events are broken \(bad_position 1, null_user_id 2\)"):
        ingest_events.run(make_context(lake))
    assert not (lake.root / "tables").exists()


def without(table, name):
    return table.drop([name])


def retyped(table, name, kind):
    index = table.schema.get_field_index(name)
    return table.set_column(index, name, pa.nulls(table.num_rows, kind))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: without(t, "session_id"), "column session_id is missing"),
        (lambda t: t.append_column("extra", pa.array([1] * t.num_rows)), "column extra is not in the contract"),
        (lambda t: retyped(t, "value", pa.string()), "column value is string, the contract says double"),
        (lambda t: retyped(t, "user_id", pa.float64()), "column user_id is double, the contract says string"),
        (lambda t: retyped(t, "event_time", pa.timestamp("us")), r"column event_time is timestamp\[us\], the contract says"),
    ],
)
def test_a_file_that_breaks_the_contract_is_named_with_its_column(lake, change, message):
    path = land(lake, "events", DAY, [event()])
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    with pytest.raises(DataContractError, match=message) as caught:
        ingest_events.run(make_context(lake))
    assert str(path) in caught.value.message


@pytest.mark.parametrize("keep", [0, 100])
def test_a_truncated_or_empty_file_is_named(lake, keep):
    path = land(lake, "events", DAY, [event()])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataContractError, match=r"part-0\.parquet: not a complete Parquet file"):
        ingest_events.run(make_context(lake))


def test_a_mended_day_leaves_the_quarantine(spark, lake):
    land(lake, "events", DAY, [event(), event(user="u2"), event(user=None)])
    ingest_events.run(make_context(lake, run_id="a"))
    assert delta_io.read(spark, lake, tables.QUARANTINE).count() == 1
    land(lake, "events", DAY, [event(), event(user="u2"), event(user="u3")])
    result = ingest_events.run(make_context(lake, run_id="b"))
    assert delta_io.read(spark, lake, tables.QUARANTINE).count() == 0
    assert result.counts["events"] == 3
    assert delta_io.read(spark, lake, tables.EVENTS).where(F.col("user_id") == "u3").count() == 1


def test_given_ids_are_merged_without_reading_files_of_other_days(spark, lake, monkeypatch):
    """The files of an untouched day are away while events are merged; a duplicate of the day before is still found."""
    early, before = date(2024, 3, 1), date(2024, 3, 9)
    for day in (early, before):
        land(lake, "events", day, [event(event_id=f"e{day}", time=at(f"{day} 12:00"))])
        ingest_events.run(make_context(lake, day=day))
    again = event(event_id=f"e{before}", time=at("2024-03-10 00:30"))
    land(lake, "events", DAY, [again, event(event_id="new")])
    stored = delta_io.read(spark, lake, tables.EVENTS).where(F.col("event_date") == F.lit(early)).inputFiles()
    (file,) = [Path(urlsplit(path).path) for path in stored]
    merge = delta_io.upsert

    def merged_without(df, lake, table, **options):
        if table is not tables.EVENTS:
            return merge(df, lake, table, **options)
        away = file.rename(file.with_suffix(".away"))
        try:
            return merge(df, lake, table, **options)
        finally:
            away.rename(file)

    monkeypatch.setattr(delta_io, "upsert", merged_without)
    counts = ingest_events.run(make_context(lake)).counts
    assert (counts["events"], counts["duplicates"]) == (1, 1)
    assert delta_io.read(spark, lake, tables.EVENTS).count() == 3


def test_rows_of_erased_users_are_dropped_and_counted_and_the_key_is_needed(spark, lake, tmp_path):
    key = tmp_path / "key"
    key.write_text("a key of more than sixteen bytes")
    marker = marker_of(key.read_bytes(), "u2")
    save_receipt(lake, Receipt(user=marker, status="done", begun="2024-03-01T00:00:00+00:00"))
    land(lake, "events", DAY, [event(), event(), event(user="u2"), event(user="u2", item=None), event(user=None)])
    land(lake, "users", DAY, [{"user_id": "u2"}, {"user_id": "u1"}])
    with pytest.raises(ConfigError, match="key_file is not set"):
        ingest_events.run(make_context(lake, **LENIENT))
    result = ingest_events.run(make_context(lake, **LENIENT, ids={"key_file": str(key)}))
    section = result.output.sections["ingest"]
    found = {name: section[name] for name in ("landed", "events", "duplicates", "quarantined", "erased")}
    assert found == {"landed": 5, "events": 1, "duplicates": 1, "quarantined": 1, "erased": 2}
    assert result.counts["erased"] == 2
    for table in (tables.EVENTS, tables.USERS, tables.QUARANTINE):
        assert "u2" not in str(rows_of(spark, lake, table)).replace(marker, "")
