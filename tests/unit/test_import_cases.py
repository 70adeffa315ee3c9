"""Everyday exports of real shops, each with its right outcome: what lands, what is said, or what ends the import and why."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs.sources.imports import import_data

CASES = Path(__file__).parents[1] / "cases"
FORMATS = CASES / "dates_and_formats"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def imported(root, source, mapping, **kwargs):
    lines = []
    counts = import_data("events", source, root / "lake", mapping=mapping, progress=lines.append, **kwargs)
    tables = {
        kind: ds.dataset(str(Lake(root / "lake").landing(kind)), schema=schema, format="parquet").to_table().to_pylist()
        for kind, schema in (("events", schemas.LANDING_EVENTS), ("items", schemas.LANDING_ITEMS))
        if Lake(root / "lake").landing(kind).exists()
    }
    return counts, tables, lines


def one(root, name, mapping="m.yaml"):
    counts, tables, lines = imported(root, FORMATS / name, FORMATS / mapping)
    return counts, sorted(tables["events"], key=lambda e: (len(e["user_id"] or ""), e["user_id"] or "")), lines


def refused(root, name, mapping="m.yaml"):
    with pytest.raises(DataContractError) as caught:
        one(root, name, mapping)
    landing = root / "lake/landing"
    assert not landing.exists() or list(landing.iterdir()) == []
    return f"{caught.value.message} -> {caught.value.remedy}"


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        ("bigquery.csv", NOON, NOON.replace(minute=1), []),
        ("snowflake.csv", NOON, NOON.replace(minute=1), []),
        ("postgres.csv", NOON.replace(hour=10, microsecond=500_000), NOON.replace(hour=10, minute=1, microsecond=500_000), []),
        ("epoch_text.csv", NOON, NOON.replace(hour=13), ["detected: numbers are seconds since 1970: ts"]),
        ("epoch_ms.csv", NOON, NOON.replace(hour=13), ["detected: numbers are milliseconds since 1970: ts"]),
    ],
)
def test_times_of_every_database_are_read(tmp_path, name, first, second, expected):
    counts, events, lines = one(tmp_path, name)
    assert [e["event_time"] for e in events[:2]] == [first, second]
    assert (counts["events"], counts["faulty_rows"], lines) == (9, 0, expected)


def test_times_mixed_each_is_read_or_lands_with_its_text_for_quarantine(tmp_path):
    counts, events, lines = one(tmp_path, "times.csv")
    by_user = {e["user_id"]: e for e in events}
    midnight = NOON.replace(hour=0)
    read = {"u0": midnight, "u1": NOON, "u2": NOON, "u3": NOON, "u4": NOON.replace(hour=10), "u6": NOON, "u11": NOON}
    read |= {"u5": NOON.replace(microsecond=123_456), "u12": midnight, "u17": NOON, "u18": NOON.replace(hour=10)}
    read |= {"u15": datetime(1900, 1, 1, tzinfo=UTC), "u16": datetime(9999, 12, 31, tzinfo=UTC)}
    assert {u: e["event_time"] for u, e in by_user.items() if e["event_time"]} == read
    # 13 digits among seconds are neither the year 1701 nor 56302; days and months in unknown order are not guessed.
    unread = {u: dict(e["context"])["_raw"] for u, e in by_user.items() if e["event_time"] is None}
    assert unread == {
        "u7": "event_time=1714564800000",
        "u8": "event_time=05/01/2024 12:00",
        "u9": "event_time=01.05.2024 12:00",
        "u10": "event_time=May 1, 2024",
        "u13": "event_time=2024-05-01T25:00:00",
        "u14": "event_time=0000-00-00 00:00:00",
    }
    assert counts["faulty_rows"] == counts["faulty"][0]["cells"] == 6 and len(counts["faulty"][0]["samples"]) == 3
    assert any(line.startswith("faulty: events: 6 cells of column ts: no time that can be read") for line in lines)
    assert (counts["first_day"], counts["last_day"]) == ("2024-05-01", "2024-05-01")


def test_dst_hours_that_are_skipped_or_come_twice_land(tmp_path):
    counts, events, _ = one(tmp_path, "dst.csv", "dst.yaml")
    assert counts["events"] == 7 and counts["faulty_rows"] == 0
    twice = [e["event_time"] for e in events if e["user_id"] == "u2"]
    assert datetime(2024, 10, 27, 0, 30, tzinfo=UTC) in twice  # the first of the two half past twos


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("crlf.csv", 20, []),
        ("excel_sep.csv", 20, ["detected: delimiter ';' (its line sep=): excel_sep.csv"]),
        (
            "space_header.csv",
            20,
            ["detected: column names with spaces around them were trimmed: customer, sku, ts (3 times)"],
        ),
        ("quotes.csv", 3, ["warning: columns the import does not use were ignored: note"]),
        ("array.json", 2, ["detected: a JSON array: array.json"]),
    ],
)
def test_layouts_are_read_and_said(tmp_path, name, rows, expected):
    counts, events, lines = one(tmp_path, name)
    assert (counts["events"], counts["faulty_rows"], lines) == (rows, 0, expected)
    assert all(e["user_id"] and e["item_id"] and e["event_time"] for e in events)


def test_windows_1252_is_detected(tmp_path):
    _, events, lines = one(tmp_path, "win1252.csv")
    assert all(e["user_id"].startswith("Müller") for e in events) and len(events) == 300
    assert lines[0] == "detected: encoding Windows-1252 (the file is not UTF-8): win1252.csv"


def test_words_for_missing_are_no_ids(tmp_path):
    counts, events, _ = one(tmp_path, "hash_n.csv")
    assert sorted((e["user_id"] or "", e["item_id"] or "") for e in events) == [("", "i1"), ("u2", ""), ("u3", "i3")]
    assert counts["warnings"] == {"cells that hold a word for missing (such as NULL) are not ids: customer, sku": 2}


def test_ids_are_trimmed_and_otherwise_as_written(tmp_path):
    counts, events, _ = one(tmp_path, "ids.csv")
    assert {e["user_id"] for e in events} == {None, "007", "7", "a", "A", "\uff21", "\u00e9", "e\u0301", "0", "😀"}
    assert counts["detected"] == {"ids with spaces around them were trimmed: customer": 20}


def test_an_id_with_a_nul_byte_is_no_id(tmp_path):
    counts, events, _ = one(tmp_path, "nul.csv")
    assert [e["user_id"] for e in events] == [None, "u1"] and counts["faulty_rows"] == 1


def test_sixteen_bytes_are_a_uuid(tmp_path):
    _, events, _ = one(tmp_path, "uuid.parquet")
    assert len(events) == 300 and all(len(e["user_id"]) == 36 and e["user_id"].count("-") == 4 for e in events)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dup_header.csv", "column ts is in the header twice"),
        ("empty.csv", "is empty (0 bytes)"),
        ("header_only.csv", "holds no events"),
        ("ragged.csv", "row 3 has 2 cells, the header has 3 columns"),
        (
            "noheader.csv",
            "the first row looks like data, not like a header -> name the columns in the mapping in order (`header:",
        ),
        ("jl_float.jsonl", "column customer: ids are floats"),
        ("jl_types.jsonl", "column customer: line 2 holds text, line 1 integer"),
    ],
)
def test_refused_whole_with_the_way_out(tmp_path, name, says):
    message = refused(tmp_path, name)
    assert says in message and "u0" not in message


def test_a_file_without_header_is_read_under_given_names(tmp_path):
    (tmp_path / "m.yaml").write_text(
        "events: {header: [who, what, at], columns: {user_id: who, item_id: what, event_time: at}}"
    )
    counts, _, _ = imported(tmp_path, FORMATS / "noheader.csv", tmp_path / "m.yaml")
    assert counts["events"] == 20


def test_amounts_that_are_mostly_unreadable_end_the_import_with_the_remedy(tmp_path):
    message = refused(tmp_path, "values.csv", "v.yaml")
    assert "7 of 10 filled cells of column amount are no number" in message
    assert "numbers: {" in message and "currency: true" in message


def test_decimal_commas_without_a_word_end_the_import_and_the_remedy_works(tmp_path):
    folder = CASES / "decimal_comma"
    with pytest.raises(DataContractError) as caught:
        imported(tmp_path, folder, folder / "columns.yaml")
    assert caught.value.exit_code == 4 and "column Betrag are no number (such as '1.299,00'" in caught.value.message
    assert 'events: {numbers: {decimal: ",", thousands: "."}}' in caught.value.remedy
    text = (folder / "columns.yaml").read_text()
    text = text.replace("  path: e", '  numbers: {decimal: ",", thousands: "."}\n  path: e')
    text = text.replace("  path: p", '  numbers: {decimal: ",", thousands: ".", currency: true}\n  path: p')
    (tmp_path / "m.yaml").write_text(text)
    counts, tables, _ = imported(tmp_path, folder, tmp_path / "m.yaml")
    assert {e["value"] for e in tables["events"]} == {1299.0, 5.0, 19.99, -19.99} and counts["faulty"] == []
    assert {i["price"] for i in tables["items"]} == {1299.0, 0.99, 5.0, 19.99}


def test_nested_fields_are_named_by_their_path(tmp_path):
    folder = CASES / "nested_jsonl"
    counts, tables, lines = imported(tmp_path, folder / "nested.jsonl", folder / "nested.yaml")
    first = min(tables["events"], key=lambda e: e["event_time"])
    assert (first["user_id"], first["item_id"], first["action"]) == ("u3", "p2", "view")
    assert counts["faulty_rows"] == 0 and lines == []


def test_a_refund_can_be_dropped(tmp_path):
    folder = CASES / "action_cannot_be_dropped"
    counts, tables, _ = imported(tmp_path, folder / "e.csv", folder / "m.yaml")
    assert [e["action"] for e in tables["events"]] == ["purchase"]
    assert counts["left_out"] == {"action 'refund' is ignored": 1}


def test_delta_warnings_a_partition_column_that_is_not_used_is_one_line(tmp_path):
    folder = CASES / "bot"
    subprocess.run([sys.executable, folder / "gen.py", "2000", "500"], cwd=tmp_path, check=True)
    counts, tables, lines = imported(tmp_path, tmp_path, folder / "m.yaml")
    assert [line for line in lines if "day" in line] == [
        "warning: columns the import does not use were ignored: day (14 times)"
    ]
    assert counts["events"] == len(tables["events"]) == 2500
    assert {e["action"] for e in tables["events"]} == {"view", "cart", "purchase", "refund"}
