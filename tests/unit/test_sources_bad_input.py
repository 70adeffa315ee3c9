"""The contract at the door: a file that is wrong as a whole is refused by name; a row that is wrong lands, marked."""

import json

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs.sources.imports import import_data

HUGE = 2**53 + 1
MAPPING = "events: {columns: {user_id: u, item_id: i, event_time: t, value: v}}\n"
INT64 = "id_type: int64\n" + MAPPING
NOON = "2024-05-01T12:00:00Z"


def mapped(tmp_path, source, text=MAPPING, **kwargs):
    (tmp_path / "map.yaml").write_text(text)
    counts = import_data("events", source, tmp_path / "lake", mapping=tmp_path / "map.yaml", progress=lambda _: None, **kwargs)
    events = ds.dataset(str(Lake(tmp_path / "lake").landing("events")), schema=schemas.LANDING_EVENTS, format="parquet")
    return counts, events.to_table().to_pylist()


def csv(tmp_path, text, name="e.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def parquet(path, **columns):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def raw(event):
    return dict(event["context"] or []).get("_raw")


def refused(tmp_path, source, text=MAPPING, kind=DataContractError):
    with pytest.raises(kind) as caught:
        mapped(tmp_path, source, text)
    assert caught.value.remedy, "every refusal has a remedy"
    landing = tmp_path / "lake/landing"
    assert not landing.exists() or list(landing.iterdir()) == []
    return caught.value.message


def test_truncated_parquet(tmp_path):
    path = parquet(tmp_path / "e.parquet", u=["a"] * 999, i=["b"] * 999, t=[NOON] * 999, v=[1.0] * 999)
    path.write_bytes(path.read_bytes()[:-50])
    assert "e.parquet: not a complete Parquet file" in refused(tmp_path, path)


def test_parquet_damaged_in_the_middle(tmp_path):
    path = parquet(tmp_path / "e.parquet", u=[f"a{k}" for k in range(9999)], i=["b"] * 9999, t=[NOON] * 9999, v=[1.0] * 9999)
    body = bytearray(path.read_bytes())
    body[100:20_000] = b"\x00" * 19_900
    path.write_bytes(bytes(body))
    assert "e.parquet: not a complete Parquet file" in refused(tmp_path, path)


def test_missing_column(tmp_path):
    message = refused(tmp_path, csv(tmp_path, f"u,i,t\na,b,{NOON}\n"))
    assert "e.csv: column v is missing; the file has u, i, t" in message


def test_extra_column_is_ignored_and_counted(tmp_path):
    counts, events = mapped(tmp_path, csv(tmp_path, f"u,i,t,v,colour\na,b,{NOON},1,red\n"))
    assert counts["warnings"] == {"columns the import does not use were ignored: colour": 1}
    assert events[0]["value"] == 1.0


def test_type_drift_between_files(tmp_path):
    parquet(tmp_path / "in/1.parquet", u=["a"], i=["b"], t=[NOON], v=[1.0])
    parquet(tmp_path / "in/2.parquet", u=["a"], i=["b"], t=[NOON], v=["high"])
    assert "2.parquet: column v holds text where 1.parquet has float" in refused(tmp_path, tmp_path / "in")


def test_an_all_null_file_and_a_narrower_number_are_no_drift(tmp_path):
    parquet(tmp_path / "in/1.parquet", u=["a"], i=["b"], t=[NOON], v=[1.5])
    parquet(tmp_path / "in/2.parquet", u=["a"], i=["b"], t=[NOON], v=pa.array([2], pa.int8()))
    parquet(tmp_path / "in/3.parquet", u=["a"], i=["b"], t=[NOON], v=pa.nulls(1))
    assert [e["value"] for e in mapped(tmp_path, tmp_path / "in")[1]] == [1.5, 2.0, None]


def test_type_drift_inside_json_lines(tmp_path):
    lines = [{"u": "a", "i": "b", "t": NOON, "v": 1}, {"u": "a", "i": "b", "t": NOON, "v": "1"}]
    path = csv(tmp_path, "\n".join(map(json.dumps, lines)), "e.jsonl")
    assert "e.jsonl: column v: line 2 holds text, line 1 integer" in refused(tmp_path, path)


def test_empty_file(tmp_path):
    assert "e.csv is empty (0 bytes)" in refused(tmp_path, csv(tmp_path, ""))


def test_header_without_rows(tmp_path):
    assert "holds no events" in refused(tmp_path, csv(tmp_path, "u,i,t,v\n"))


def test_ids_above_2_to_53_survive_with_nulls_in_every_format(tmp_path):
    parquet(tmp_path / "e.parquet", u=pa.array([HUGE, None], pa.int64()), i=[HUGE, HUGE + 1], t=[NOON] * 2, v=[1.0] * 2)
    csv(tmp_path, f"u,i,t,v\n{HUGE},{HUGE},{NOON},1\n,{HUGE + 1},{NOON},1\n")
    lines = [{"u": HUGE, "i": HUGE, "t": NOON, "v": 1}, {"u": None, "i": HUGE + 1, "t": NOON, "v": 1}]
    csv(tmp_path, "\n".join(map(json.dumps, lines)) + "\n", "e.jsonl")
    for name in ("e.parquet", "e.csv", "e.jsonl"):
        for text in (MAPPING, INT64):
            home = tmp_path / f"{name}-{text is INT64}"
            home.mkdir()
            _, events = mapped(home, tmp_path / name, text)
            assert [(e["user_id"], e["item_id"]) for e in events] == [(str(HUGE), str(HUGE)), (None, str(HUGE + 1))]


@pytest.mark.parametrize("text", [MAPPING, INT64])
def test_float_ids_are_refused(tmp_path, text):
    path = parquet(tmp_path / "e.parquet", u=[1.0, None], i=["1", "2"], t=[NOON] * 2, v=[1.0] * 2)
    assert "e.parquet: column u: ids are floats" in refused(tmp_path, path, text)


@pytest.mark.parametrize("text", [MAPPING, INT64])
def test_ids_that_went_through_a_float_are_refused(tmp_path, text):
    message = refused(tmp_path, csv(tmp_path, f"u,i,t,v\n,1,{NOON},1\n17.0,1,{NOON},1\n"), text)
    assert "e.csv: column u, row 3: the id is written as a float" in message and "17" not in message


def test_float_ids_in_json_lines_are_refused(tmp_path):
    path = csv(tmp_path, json.dumps({"u": 1.0, "i": 1, "t": NOON, "v": 1}), "e.jsonl")
    assert "e.jsonl: column u: ids are floats" in refused(tmp_path, path)


def test_null_and_non_numeric_ids_land_for_ingest_to_quarantine(tmp_path):
    rows = [("", "1"), ("bob", "1"), ("1", "9" * 19), ("-7", "007"), ("1", str(2**63 - 1))]
    path = csv(tmp_path, "u,i,t,v\n" + "".join(f"{u},{i},{NOON},1\n" for u, i in rows))
    counts, events = mapped(tmp_path, path, INT64)
    found = [(e["user_id"], e["item_id"]) for e in events]
    assert found == [(None, "1"), ("bob", "1"), ("1", "9" * 19), ("-7", "7"), ("1", str(2**63 - 1))]
    assert counts["faulty_rows"] == 2 and [raw(e) for e in events] == [None] * 5


def test_an_unreadable_amount_is_null_with_its_text_and_nan_is_missing(tmp_path):
    path = csv(tmp_path, "u,i,t,v\n" + "".join(f"a,b,{NOON},{v}\n" for v in ("NaN", "4.5", "five", "")))
    counts, events = mapped(tmp_path, path)
    assert [e["value"] for e in events] == [None, 4.5, None, None]
    assert [dict(e["context"] or []) for e in events] == [{}, {}, {"_unread": "value=five"}, {}]
    assert counts["faulty"] == [{"table": "events", "column": "v", "reason": "no number", "cells": 1, "samples": ["five"]}]


def test_unreadable_times_land_on_the_last_day_with_their_text(tmp_path):
    path = csv(tmp_path, f"u,i,t,v\na,b,{NOON},1\na,b,yesterday,1\na,b,2024-05-02 00:00:00,1\na,b,,1\n")
    counts, events = mapped(tmp_path, path)
    assert sorted(raw(e) or "" for e in events) == ["", "", "", "event_time=yesterday"]
    assert (counts["first_day"], counts["last_day"], counts["events"]) == ("2024-05-01", "2024-05-02", 4)


def test_an_event_of_the_future_makes_no_landing_day(tmp_path):
    counts, events = mapped(tmp_path, csv(tmp_path, f"u,i,t,v\na,b,{NOON},1\na,b,2199-01-01T00:00:00Z,1\n"))
    assert counts["last_day"] == "2024-05-01" and {e["event_time"].year for e in events} == {2024, 2199}


def test_epoch_in_the_wrong_unit_is_refused_with_the_way_out(tmp_path):
    path = csv(tmp_path, "u,i,t,v\na,b,1714564800000,1\n")
    wrong = MAPPING.replace("events: {", "events: {time: {format: epoch, unit: s}, ")
    assert "1 of 1 filled cells of column t are no time" in refused(tmp_path, path, wrong)
    counts, _ = mapped(tmp_path, path, wrong.replace("unit: s", "unit: ms"))
    assert counts["first_day"] == "2024-05-01"


def test_a_malformed_csv_row_is_named(tmp_path):
    message = refused(tmp_path, csv(tmp_path, f"u,i,t,v\na,b,{NOON},1\na,b,{NOON}\n"))
    assert "e.csv: row 3 has 3 cells, the header has 4 columns" in message and NOON not in message


def test_a_malformed_json_line_is_named(tmp_path):
    assert "e.jsonl: line 2 is not JSON" in refused(
        tmp_path, csv(tmp_path, '{"u": 1, "i": 1, "t": 1, "v": 1}\n{"u": \n', "e.jsonl")
    )


def test_text_that_is_not_of_the_stated_encoding_is_refused(tmp_path):
    (tmp_path / "e.csv").write_bytes(f"u,i,t,v\nJos\xe9,b,{NOON},1\n".encode("latin-1"))
    stated = "events: {encoding: utf-8, columns: {user_id: u, item_id: i, event_time: t, value: v}}"
    assert "e.csv: not readable as utf-8 text (byte 11)" in refused(tmp_path, tmp_path / "e.csv", stated)


def test_text_that_stops_being_utf8_far_into_the_file_is_refused_whole(tmp_path):
    rows = f"u,i,t,v\n{f'a,b,{NOON},1' + chr(10)}" + f"a,b,{NOON},1\n" * 60_000
    (tmp_path / "e.csv").write_bytes(rows.encode() + f"Jos\xe9,b,{NOON},1\n".encode("latin-1"))
    assert "e.csv: not readable as utf-8 text" in refused(tmp_path, tmp_path / "e.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("events: {columns: {user_id: u, item_id: i, evnt_time: t}}", "events.columns.evnt_time"),
        ("events: {columns: {user_id: u}}", "events.columns.item_id"),
        ("evnts: {}", "evnts"),
        ("events: {columns: {user_id: u, item_id: i}, actions: {buy: purchased}}", "'purchased' is none of"),
        ("id_type: float\n" + MAPPING, "id_type"),
        ("- a list", "holds a list"),
        ("a: [", "is not YAML"),
        ("id_type: string", "section `events`"),
    ],
)
def test_a_wrong_mapping_is_named(tmp_path, text, says):
    assert says in refused(tmp_path, csv(tmp_path, f"u,i,t,v\na,b,{NOON},1\n"), text, ConfigError)


def test_a_lake_of_another_clock_or_id_type_is_not_mixed(tmp_path):
    path = csv(tmp_path, f"u,i,t,v\n1,2,{NOON},1\n")
    mapped(tmp_path, path)
    with pytest.raises(ConfigError, match="id_type string, this input has int64"):
        mapped(tmp_path, path, INT64)
    with pytest.raises(ConfigError, match="clock real, this input has position"):
        mapped(tmp_path, path, MAPPING.replace("event_time: t, ", ""))


def test_an_unknown_timezone_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="timezone 'Mars/Olympus' is not known"):
        mapped(tmp_path, csv(tmp_path, "u,i,t,v\n"), timezone="Mars/Olympus")
