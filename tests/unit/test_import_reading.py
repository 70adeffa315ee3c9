"""How files are read: encodings and delimiters found or stated, nested fields, lists, arrays bigger than a chunk, units."""

import json
import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.spark_jobs.sources import json_array
from nightrank.spark_jobs.sources.files import read
from nightrank.spark_jobs.sources.formats import NumberFormat, Reading, TimeFormat
from nightrank.spark_jobs.sources.mapping import load_mapping
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.numbers import numbers
from nightrank.spark_jobs.sources.raw import RawColumn
from nightrank.spark_jobs.sources.times import settled, times


def rows(path, columns=None, how=Reading()):  # noqa: B008 - a frozen value
    notes = Notes(progress=lambda _: None)
    tables = [batch.table for batch in read(path, columns, notes, how)]
    return pa.concat_tables(tables).to_pylist(), notes


def column(values, kind="text"):
    return RawColumn("t", pa.array(values), kind, "f", 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found(tmp_path, encoding, delimiter):
    text = "\r\n".join(delimiter.join(row) for row in (("wer", "was"), ("Müller", "Straße"), ("José", "a")))
    (tmp_path / "e.csv").write_bytes((text + "\r\n").encode(encoding))
    found, notes = rows(tmp_path / "e.csv")
    assert found == [{"wer": "Müller", "was": "Straße"}, {"wer": "José", "was": "a"}]
    assert len(notes.detected) == (delimiter != ",") + (not encoding.startswith("utf-8"))


def test_what_is_stated_is_not_found_otherwise(tmp_path):
    (tmp_path / "e.csv").write_bytes("a;b,c\n1;'x','y'\n".encode("cp1252"))
    assert rows(tmp_path / "e.csv", how=Reading(delimiter=",", quote="'"))[0] == [{"a;b": "1;'x'", "c": "y"}]
    assert rows(tmp_path / "e.csv", how=Reading(delimiter=";"))[0] == [{"a": "1", "b,c": "'x','y'"}]
    (tmp_path / "q.csv").write_text('a,b\n"x,1\ny",2\n')
    assert rows(tmp_path / "q.csv", how=Reading(quote="none"))[0] == [{"a": '"x', "b": "1"}, {"a": 'y"', "b": "2"}]
    (tmp_path / "m.yaml").write_text("events: {encoding: ebcdic9, columns: {user_id: u, item_id: i}}")
    with pytest.raises(ConfigError, match="encoding 'ebcdic9' is not known"):
        load_mapping(tmp_path / "m.yaml")


def test_single_quotes_around_the_header_are_quotes(tmp_path):
    (tmp_path / "e.csv").write_text("'a','b'\n'x, y','z'\n")
    assert rows(tmp_path / "e.csv")[0] == [{"a": "x, y", "b": "z"}]


ORDERS = [
    {"user": {"id": 1}, "lines": [{"sku": "a"}, {"sku": "b"}]},
    {"user": {"id": 2}, "lines": []},
    {"user": {"id": 3}, "lines": [{"sku": "c"}]},
    {"user": {"id": 4}},
]


def test_paths_and_lists_mean_the_same_in_json_and_parquet(tmp_path):
    (tmp_path / "o.jsonl").write_text("\n".join(map(json.dumps, ORDERS)))
    pq.write_table(pa.Table.from_pylist(ORDERS), tmp_path / "o.parquet")
    for name in ("o.jsonl", "o.parquet"):
        found, notes = rows(tmp_path / name, ["user.id", "lines.sku"], Reading(explode="lines"))
        assert [(str(r["user.id"]), r["lines.sku"]) for r in found] == [("1", "a"), ("1", "b"), ("3", "c")]
        assert notes.warnings == {"rows whose list is empty or missing gave no event: lines": 2}
        with pytest.raises(DataContractError, match=r"column user.name is missing"):
            rows(tmp_path / name, ["user.name"])
    (tmp_path / "s.jsonl").write_text('{"u": "x", "seen": ["a", "b"]}\n')
    assert rows(tmp_path / "s.jsonl", ["u", "seen"], Reading(explode="seen"))[0] == [
        {"u": "x", "seen": "a"},
        {"u": "x", "seen": "b"},
    ]


def test_a_key_with_a_dot_in_it_is_that_key(tmp_path):
    (tmp_path / "o.jsonl").write_text('{"user.id": "plain", "user": {"id": "inner"}}\n')
    assert rows(tmp_path / "o.jsonl", ["user.id"])[0] == [{"user.id": "plain"}]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_in_chunks_of_any_size(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    objects = [{"u": f"ü{k}", "i": '], "{[', "n": 2**53 + k} for k in range(50)]
    (tmp_path / "a.json").write_text(" \n" + json.dumps(objects, indent=indent, ensure_ascii=False))
    assert rows(tmp_path / "a.json")[0] == [{**each, "n": str(each["n"])} for each in objects]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"u": 1}, {"u": ', "element 2 is not complete JSON"),
        ('[{"u": 1}', "ends after element 1 without a ]"),
        ('[{"u": 1}, 7]', "element 2 is integer, not an object"),
    ],
)
def test_a_broken_array_names_the_element(tmp_path, text, says):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataContractError, match=re.escape(says)):
        rows(tmp_path / "a.json")


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("kind", ["text", "integer"])
def test_the_unit_of_a_column_is_that_of_most_of_its_numbers(unit, factor, kind):
    moments = [1714564800 * factor, 1714564860 * factor, 1714564920 * factor]
    given = column([str(m) for m in moments] if kind == "text" else moments, kind)
    how = settled(given, TimeFormat())
    assert (how.unit, how.detected) == (unit, True)
    assert times(given, how).values.to_pylist() == [datetime(2024, 5, 1, 12, k, tzinfo=UTC) for k in range(3)]
    # A later batch of another unit is not silently a time of the year 1970 or 56302.
    other = times(column([str(1714564800 * (1000 if unit == "s" else 1))]), how)
    assert other.values.to_pylist() == [None] and other.raw is not None


@pytest.mark.parametrize(
    ("text", "how", "value"),
    [
        ("1.299,00", NumberFormat(",", "."), 1299.0),
        ("-1 299,5", NumberFormat(",", " "), -1299.5),
        ("1\u202f299,5", NumberFormat(",", " "), 1299.5),
        ("1'299.5", NumberFormat(".", "'"), 1299.5),
        ("12.50", NumberFormat(",", "."), None),
        ("1,5", NumberFormat(), None),
        ("€ 5", NumberFormat(currency=True), 5.0),
        ("-5 EUR", NumberFormat(currency=True), -5.0),
        ("+7", NumberFormat(), 7.0),
        ("1e3", NumberFormat(), 1000.0),
        ("12%", NumberFormat(currency=True), None),
        ("1e400", NumberFormat(), None),
        ("unreadable", NumberFormat(",", "."), None),
    ],
)
def test_numbers_as_they_are_written(text, how, value):
    found = numbers(column([text, "NULL", None]), how)
    assert found.values.to_pylist() == [value, None, None]
    assert found.faulty.to_pylist() == [value is None, False, False]


def test_the_stated_unit_is_taken_and_doubted(tmp_path):
    from nightrank.spark_jobs.sources.formats import IdFormat
    from nightrank.spark_jobs.sources.raw import RawBatch
    from nightrank.spark_jobs.sources.typed import TypedReader

    notes = Notes(progress=lambda _: None)
    reader = TypedReader("events", IdFormat(), TimeFormat("epoch", "ms"), NumberFormat(), notes)
    batch = RawBatch(tmp_path, 1, pa.table({"ts": ["1714564800"]}))
    assert reader.cells(batch, c.EVENT_TIME, "ts").values.to_pylist() == [datetime(1970, 1, 20, 20, 16, 4, 800_000, tzinfo=UTC)]
    assert notes.warnings == {"the mapping says unit ms, but the numbers look like s: ts": 1}
