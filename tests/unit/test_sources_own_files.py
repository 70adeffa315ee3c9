"""The user's own files: every format says the same, the whole mapping is used, and landing is written whole or not at all."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.failpoints import VARIABLE
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs.sources.cells import ids
from nightrank.spark_jobs.sources.chunks import PositionClock
from nightrank.spark_jobs.sources.formats import IdFormat
from nightrank.spark_jobs.sources.imports import import_data
from nightrank.spark_jobs.sources.landing import LandingWriter
from nightrank.spark_jobs.sources.mapping import load_mapping
from nightrank.spark_jobs.sources.maps import text_map
from nightrank.spark_jobs.sources.raw import RawColumn, family_of
from nightrank.spark_jobs.sources.times import TimeFormat, days, times

ROOT = Path(__file__).parents[2]
FULL = """
events:
  path: {path}
  columns: {{user_id: who, item_id: what, event_id: id, action: did, event_time: at, availability_time: known,
            value: paid, position: slot, propensity: p, session_id: s, list_id: l, context: [device]}}
  actions: {{bought: purchase}}
  time: {{timezone: Europe/Berlin}}
"""
ROWS = [
    ("u1", "i1", "e1", "bought", "2024-01-01 00:30:00", "2024-01-03 10:00:00", "9.5", "2", "0.25", "s1", "l1", "web"),
    ("u2", "i2", "e2", "View", "2024-01-01T12:00:00+00:00", None, None, None, None, None, None, None),
    ("u3", "i3", "e3", "hover", "2024-01-02 12:00:00", None, "1", None, None, None, None, "app"),
]
NAMES = ("who", "what", "id", "did", "at", "known", "paid", "slot", "p", "s", "l", "device")


def quiet(source, mapping, root, **kwargs):
    return import_data("events", source, root, mapping=mapping, progress=lambda _: None, **kwargs)


def landed(root, kind="events", schema=schemas.LANDING_EVENTS):
    return ds.dataset(str(Lake(root).landing(kind)), schema=schema, format="parquet").to_table()


def written(folder):
    """The same rows in the four formats."""
    import csv
    import json

    columns = list(zip(*ROWS, strict=True))
    table = pa.table({name: pa.array(values, pa.string()) for name, values in zip(NAMES, columns, strict=True)})
    pq.write_table(table, folder / "e.parquet")
    write_deltalake(str(folder / "delta"), table, partition_by=["did"])
    write_deltalake(str(folder / "delta"), table, mode="overwrite")
    with open(folder / "e.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([NAMES, *ROWS])
    (folder / "e.jsonl").write_text("".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in ROWS))


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl", "e.parquet", "delta"])
def test_every_format_says_the_same(tmp_path, name):
    written(tmp_path)
    (tmp_path / "m.yaml").write_text(FULL.format(path=name))
    counts = quiet(tmp_path, tmp_path / "m.yaml", tmp_path / "lake")
    first, second, third = landed(tmp_path / "lake").sort_by("event_id").to_pylist()
    assert first | {"context": dict(first["context"])} == {
        "event_id": "e1",
        "user_id": "u1",
        "item_id": "i1",
        "action": "purchase",
        "event_time": datetime(2023, 12, 31, 23, 30, tzinfo=UTC),
        "availability_time": datetime(2024, 1, 3, 9, tzinfo=UTC),
        "value": 9.5,
        "position": 2,
        "propensity": 0.25,
        "context": {"device": "web"},
        "session_id": "s1",
        "list_id": "l1",
    }
    assert (second["action"], second["event_time"], second["context"]) == ("view", datetime(2024, 1, 1, 12, tzinfo=UTC), None)
    assert (third["action"], third["event_time"]) == ("other", datetime(2024, 1, 2, 11, tzinfo=UTC))
    assert counts["warnings"] == {"action 'hover' is not in the mapping and became `other`": 1}
    # A late event lands when it became known, the others on the day they happened.
    assert Lake(tmp_path / "lake").landing_days("events") == [date(2024, 1, d) for d in (1, 2, 3)]


def test_a_delta_table_is_its_current_version_only(tmp_path):
    table = pa.table({"u": ["a", "b"], "i": ["x", "y"], "t": ["2024-01-01", "2024-01-02"]})
    write_deltalake(str(tmp_path / "d"), table, partition_by=["u"])
    DeltaTable(str(tmp_path / "d")).delete("u = 'a'")
    (tmp_path / "m.yaml").write_text("events: {columns: {user_id: u, item_id: i, event_time: t}}")
    quiet(tmp_path / "d", tmp_path / "m.yaml", tmp_path / "lake")
    assert landed(tmp_path / "lake")["user_id"].to_pylist() == ["b"]


def test_items_and_users_arrive_with_their_own_times_but_not_before_the_first_event(tmp_path):
    (tmp_path / "e.csv").write_text("u,i,t\na,x,2024-01-05\nb,y,2024-01-07\n")
    (tmp_path / "i.csv").write_text(
        'i,n,c,p,b\nx,"A ""B"", C",k|l,3.5,2020-01-01\ny,Y,,cheap,2024-01-06\nz,Z,,NaN,\nw,W,,1,someday\n'
    )
    (tmp_path / "u.jsonl").write_text('{"u": "a", "a": {"plan": "pro", "age": 7}}\n{"u": "c", "a": null}\n')
    (tmp_path / "m.yaml").write_text(
        "events: {path: e.csv, columns: {user_id: u, item_id: i, event_time: t}}\n"
        "items: {path: i.csv, columns: {item_id: i, title: n, categories: c, price: p, created: b}}\n"
        "users: {path: u.jsonl, columns: {user_id: u, attributes: [a]}}\n"
    )
    counts = quiet(tmp_path, tmp_path / "m.yaml", tmp_path / "lake")
    items = {row["item_id"]: row for row in landed(tmp_path / "lake", "items", schemas.LANDING_ITEMS).to_pylist()}
    assert (items["x"]["title"], items["x"]["categories"], items["y"]["categories"]) == ('A "B", C', ["k", "l"], None)
    assert Lake(tmp_path / "lake").landing_days("items") == [date(2024, 1, 5), date(2024, 1, 6)]
    assert items["y"]["price"] is None and items["w"]["created"] is None
    assert [(f["table"], f["column"], f["cells"], f["samples"]) for f in counts["faulty"]] == [
        ("items", "p", 1, ["cheap"]),
        ("items", "b", 1, ["someday"]),
    ]
    users = landed(tmp_path / "lake", "users", schemas.LANDING_USERS).to_pylist()
    assert [dict(u["attributes"] or []) for u in users] == [{"age": "7", "plan": "pro"}, {}]


def test_a_day_is_a_day_of_the_zone(tmp_path):
    (tmp_path / "e.csv").write_text("u,i,t\na,x,2024-01-01T23:30:00Z\n")
    (tmp_path / "m.yaml").write_text("events: {columns: {user_id: u, item_id: i, event_time: t}}")
    assert quiet(tmp_path / "e.csv", tmp_path / "m.yaml", tmp_path / "a")["first_day"] == "2024-01-01"
    assert quiet(tmp_path / "e.csv", tmp_path / "m.yaml", tmp_path / "b", timezone="Europe/Berlin")["first_day"] == "2024-01-02"


def test_a_killed_import_leaves_whole_files_and_the_next_one_finishes(tmp_path):
    (tmp_path / "e.csv").write_text("u,i,t\n" + "".join(f"a,x,2024-01-{d:02d}\n" for d in range(1, 9)))
    (tmp_path / "m.yaml").write_text("events: {columns: {user_id: u, item_id: i, event_time: t}}")
    program = (
        "import sys; from pathlib import Path; from nightrank.spark_jobs.sources.imports import import_data; "
        "import_data('events', Path(sys.argv[1]), Path(sys.argv[2]), mapping=Path(sys.argv[3]))"
    )
    arguments = [str(tmp_path / name) for name in ("e.csv", "lake", "m.yaml")]
    environment = {**os.environ, VARIABLE: "import.between_renames"}
    done = subprocess.run([sys.executable, "-c", program, *arguments], env=environment, cwd=ROOT, check=False)
    assert done.returncode == -9
    landing = tmp_path / "lake/landing"
    assert [pq.read_table(p, partitioning=None).num_rows for p in landing.glob("events/*/*.parquet")] == [1]
    assert not (landing / "meta.json").exists() and list(landing.glob(".import-*"))
    counts = quiet(tmp_path / "e.csv", tmp_path / "m.yaml", tmp_path / "lake")
    assert (counts["files"], counts["written"]) == (8, 7) and not list(landing.glob(".import-*"))
    assert landed(tmp_path / "lake").num_rows == 8


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=12), st.integers(1, 20_000))
def test_landing_keeps_every_row_in_order_whatever_the_memory(tmp_path_factory, pieces, budget):
    roots, number = [tmp_path_factory.mktemp("lake") for _ in range(2)], 0
    tables = []
    for day, rows in pieces:
        values = [str(number + i) for i in range(rows)]
        number += rows
        empty = schemas.LANDING_USERS.empty_table()
        attributes, times_ = (pa.nulls(rows, empty.schema.field(n).type) for n in ("attributes", "availability_time"))
        tables.append((day, pa.table([pa.array(values), attributes, times_], schema=schemas.LANDING_USERS)))
    for root, size in zip(roots, (1 << 30, budget), strict=True):
        with LandingWriter(Lake(root), "test", budget_bytes=size) as writer:
            for day, table in tables:
                writer.add("users", date(2024, 1, 1 + day), table)
            writer.commit()
    found = [landed(root, "users", schemas.LANDING_USERS)["user_id"].to_pylist() for root in roots]
    expected = [v for day in range(4) for d, table in tables if d == day for v in table["user_id"].to_pylist()]
    assert found == [expected, expected]
    assert len(list(roots[1].rglob("*.parquet"))) == len({day for day, _ in pieces})


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_every_64_bit_id_survives_as_a_number_and_as_text(values):
    text = [None if v is None else str(v) for v in values]
    for array in (pa.array(values, pa.int64()), pa.array(text, pa.string())):
        column = RawColumn("u", array, family_of(array.type), Path("f"), 1)
        for id_type in ("int64", "string"):
            assert ids(column, IdFormat(id_type)).values.to_pylist() == text


@given(st.integers(2**63, 2**80) | st.integers(-(2**80), -(2**63) - 1))
def test_an_id_past_64_bits_is_told_and_kept_as_written(value):
    found = ids(RawColumn("u", pa.array([str(value)]), "text", Path("f"), 1), IdFormat("int64"))
    assert found.values.to_pylist() == [str(value)] and found.faulty.to_pylist() == [True]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30), st.integers(1, 29))
def test_the_position_clock_counts_each_user_across_batches(users, cut):
    clock, seen, expected = PositionClock(), {}, []
    for user in users:
        seen[user] = seen.get(user, -1) + 1
        expected.append(seen[user] * 1_000_000)
    found = [pc.cast(clock.times(pa.array(part, pa.string())), pa.int64()).to_pylist() for part in (users[:cut], users[cut:])]
    assert found[0] + found[1] == expected


@given(st.lists(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=3, max_size=3), max_size=8))
def test_maps_hold_exactly_what_is_there(rows):
    columns = [(name, pa.array([row[i] for row in rows], pa.string())) for i, name in enumerate("xyz")]
    found = text_map(columns, len(rows)).to_pylist()
    expected = [{n: v for n, v in zip("xyz", row, strict=True) if v is not None} or None for row in rows]
    assert [None if f is None else dict(f) for f in found] == expected


MOMENTS = st.datetimes(datetime(1960, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@given(st.lists(MOMENTS, min_size=1, max_size=5))
def test_times_are_read_to_the_microsecond(moments):
    column = RawColumn("t", pa.array([m.isoformat() for m in moments]), "text", Path("f"), 1)
    assert times(column, TimeFormat()).values.to_pylist() == moments
    micros = pa.array([str(pc.cast(pa.scalar(m, schemas.TIMESTAMP), pa.int64()).as_py()) for m in moments])
    assert times(RawColumn("t", micros, "text", Path("f"), 1), TimeFormat("epoch", "us")).values.to_pylist() == moments
    assert days(pa.array(moments, schemas.TIMESTAMP), "UTC").to_pylist() == [m.date() for m in moments]


@pytest.mark.parametrize(
    ("value", "how", "iso"),
    [
        ("1714564800", TimeFormat("epoch", "s"), "2024-05-01T12:00:00+00:00"),
        ("1714564800.25", TimeFormat("epoch", "s"), "2024-05-01T12:00:00.250000+00:00"),
        ("1714564800123456789", TimeFormat("epoch", "ns"), "2024-05-01T12:00:00.123456+00:00"),
        ("-1", TimeFormat("epoch", "ns"), "1969-12-31T23:59:59.999999+00:00"),
        ("01.05.2024 14:00", TimeFormat("%d.%m.%Y %H:%M", timezone="Europe/Berlin"), "2024-05-01T12:00:00+00:00"),
        ("2024-05-01T14:00+02:00", TimeFormat(), "2024-05-01T12:00:00+00:00"),
        ("1714564800123456789", TimeFormat("epoch", "s"), None),
        ("2024-13-45", TimeFormat(), None),
    ],
)
def test_written_times(value, how, iso):
    found = times(RawColumn("t", pa.array([value]), "text", Path("f"), 1), how)
    assert [m and m.isoformat() for m in found.values.to_pylist()] == [iso]
    assert (found.raw is None) == (iso is not None)


def test_the_example_mapping_names_every_key_there_is():
    path = ROOT / "conf/mapping-example.yaml"
    example, tree = load_mapping(path).model_dump(), yaml.safe_load(path.read_text())

    def same(model, given, where):
        for key, value in model.items():
            assert key in given, f"{where}.{key} is missing in the example"
            if isinstance(value, dict) and key != "actions":
                same(value, given[key], f"{where}.{key}")

    same(example, tree, "mapping")


def test_an_import_loads_no_engine():
    program = "import sys, nightrank.spark_jobs.sources.imports as i\n"
    program += "print([m for m in ('pyspark', 'torch', 'delta') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_an_action_can_be_ignored_or_count_against_an_item(tmp_path):
    (tmp_path / "e.csv").write_text(
        "customer,sku,ts,kind\nu1,i1,2024-05-01T10:00:00Z,buy\nu1,i1,2024-05-02T10:00:00Z,refund\n"
        "u1,i2,2024-05-02T11:00:00Z,returned\nu1,i3,2024-05-02T12:00:00Z,hover\nu1,i3,2024-05-02T13:00:00Z,internal\n"
    )
    mapping = tmp_path / "m.yaml"
    text = "events:\n  columns: {user_id: customer, item_id: sku, event_time: ts, action: kind}\n"
    mapping.write_text(text + "  actions: {buy: purchase, refund: ignore, returned: refund, internal: null}\n")
    counts = quiet(tmp_path / "e.csv", mapping, tmp_path / "lake")
    assert counts["events"] == 3
    assert counts["left_out"] == {"action 'refund' is ignored": 1, "action 'internal' is ignored": 1}
    assert sorted(landed(tmp_path / "lake")["action"].to_pylist()) == ["other", "purchase", "refund"]
    mapping.write_text(text + "  unknown_actions: ignore\n  actions: {buy: purchase, returned: refund}\n")
    counts = quiet(tmp_path / "e.csv", mapping, tmp_path / "strict")
    assert sorted(landed(tmp_path / "strict")["action"].to_pylist()) == ["purchase", "refund", "refund"]
    assert {reason.split(" is ")[0]: n for reason, n in counts["warnings"].items()} == {
        "action 'hover'": 1,
        "action 'internal'": 1,
    }
