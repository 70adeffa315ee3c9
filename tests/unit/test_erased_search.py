"""`nightrank verify --erased` finds an id in every kind of file, and tells it from words that only look like it."""

import gzip
import json
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from safetensors.numpy import save_file

from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.erasure import sqlite_files
from nightrank.feature_store.erasure.kinds import packed
from nightrank.feature_store.erasure.search import hits
from nightrank.feature_store.erasure.user import ErasedUser
from nightrank.feature_store.erasure.words import is_ambiguous, pattern_of, replaced

ID = "u-17"
USER = ErasedUser((ID,), "erased:0", dense=5)


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE tags (value TEXT)")
        database.execute("INSERT INTO tags VALUES ('shown to u-17')")


def log_of_a_vacuumed_file(path: Path) -> None:
    stats = json.dumps({"numRecords": 1, "minValues": {"user_id": ID}})
    path.write_text(json.dumps({"remove": {"path": "gone.parquet", "size": 1, "stats": stats}}) + "\n")


PLANTED = {
    "landing/events/day=2024-01-01/a.parquet": lambda p: pq.write_table(pa.table({"user_id": ["u-1", ID]}), p),
    "tables/interactions/a.parquet": lambda p: pq.write_table(pa.table({"user": pa.array([4, 5], pa.int32())}), p),
    "tables/events/_change_data/cdc.parquet": lambda p: pq.write_table(pa.table({"user_id": [ID]}), p),
    "tables/events/_delta_log/00000000000000000003.json": log_of_a_vacuumed_file,
    "tables/vocabulary/a.parquet": lambda p: pq.write_table(pa.table({"kind": ["user"], "raw_id": [ID]}), p),
    "tables/quarantine/a.parquet": lambda p: pq.write_table(
        pa.table({"source_table": ["events"], "row": [json.dumps({"user_id": ID})]}), p
    ),
    "models/m/field_codes.parquet": lambda p: pq.write_table(pa.table({"field": ["user"], "raw_id": [ID]}), p),
    "models/m/weights.safetensors": lambda p: save_file({f"users.{ID}": np.zeros(2, np.float32)}, p),
    "runs/r/logs/a.log": lambda p: p.write_text(f"scored {ID}, again"),
    "runs/r/sample_users.json": lambda p: write_json(p, [{"user_id": ID}]),
    "runs/r/report.html": lambda p: p.write_text(f"<td>{ID}</td>"),
    "runs/r/events.gz": lambda p: p.write_bytes(gzip.compress(f'{{"x": "{ID}"}}'.encode())),
    "runs/r/events.zst": lambda p: p.write_bytes(packed(f"user {ID}".encode(), "zstd")),
    "mlflow/mlflow.db": sqlite,
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_id_is_found(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.parent.mkdir(parents=True)
    PLANTED[name](place)
    assert [hit.place.below(Lake(tmp_path).root) for hit in hits(Lake(tmp_path), USER)] == [name]


def test_a_checkpoint_is_searched_by_what_its_statistics_say(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    write_deltalake(str(tmp_path / "tables" / "lists"), pa.table({"user_id": [ID]}))
    DeltaTable(str(tmp_path / "tables" / "lists")).create_checkpoint()
    names = {hit.place.name for hit in hits(Lake(tmp_path), USER)}
    assert "00000000000000000000.checkpoint.parquet" in names and "00000000000000000000.json" in names


def test_what_only_looks_like_the_user_is_not_found(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    (tmp_path / "tables").mkdir()
    pq.write_table(pa.table({"item_id": [ID], "user_id": ["u-170"]}), tmp_path / "tables" / "a.parquet")
    pq.write_table(pa.table({"kind": ["item"], "raw_id": [ID]}), tmp_path / "tables" / "b.parquet")
    (tmp_path / "tables" / "c.json").write_text('{"a": "u-170", "b": "xu-17", "c": "u-17-b", "d": "U-17"}')
    assert list(hits(lake, USER)) == []


@pytest.mark.parametrize(
    ("name", "ambiguous"),
    [("7", True), ("1234567", True), ("12345678", False), ("train", True), ("u7", False), ("a@b.de", False)],
)
def test_an_id_that_could_be_any_number_or_word_is_ambiguous(name: str, ambiguous: bool) -> None:
    assert is_ambiguous(name) is ambiguous


@pytest.mark.parametrize("text", ['"user_id": "7"', '{\\"user_id\\":\\"7\\"}', "user=7", "user 7", "<td data-user='7'>"])
def test_an_ambiguous_id_is_found_where_a_user_is_named(text: str) -> None:
    user = ErasedUser(("7",), "erased:0", integer=True)
    assert replaced(text.encode(), pattern_of(user), "erased:0") == (text.replace("7", "erased:0").encode(), 1)


@pytest.mark.parametrize("text", ['"rank": 7', '"users": 7', '"user_id": "70"', "user 17", '"item_id": "7"', "superuser 7"])
def test_an_ambiguous_id_is_not_found_elsewhere(text: str) -> None:
    assert pattern_of(ErasedUser(("7",), "erased:0", integer=True)).search(text.encode()) is None


@pytest.mark.parametrize("text", ["a&b@c.de", "a&amp;b@c.de", "a%26b%40c.de", '"a&b@c.de"'])
def test_escaped_forms_of_an_id_are_found(text: str) -> None:
    assert pattern_of(ErasedUser(("a&b@c.de",), "erased:0")).search(text.encode())


def test_leading_zeros_are_the_same_whole_number(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": ["007", "7", "70", "-7"]}), tmp_path / "a.parquet")
    assert [hit.found.rows for hit in hits(Lake(tmp_path), ErasedUser(("7",), "erased:0", integer=True))] == [2]


def test_a_short_id_in_a_column_of_users_of_sqlite_is_found_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mlflow" / "mlflow.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE runs (user_id TEXT, status TEXT)")
        database.execute("INSERT INTO runs VALUES ('7', '7'), ('70', 'user 7')")
    user = ErasedUser(("7",), "erased:0", integer=True)
    assert [hit.found.cells for hit in hits(Lake(tmp_path), user)] == [2]
    sqlite_files.rewrite(Lake(tmp_path).mlflow / "mlflow.db", pattern_of(user), user.marker)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT user_id, status FROM runs").fetchall() == [("erased:0", "7"), ("70", "user erased:0")]
    assert list(hits(Lake(tmp_path), user)) == []
