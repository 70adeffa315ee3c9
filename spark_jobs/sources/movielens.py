"""MovieLens: ratings, films and tags as CSV with a header, or the `::` files of the 1M edition."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.spark_jobs.sources import csv_files
from nightrank.spark_jobs.sources.cells import ids
from nightrank.spark_jobs.sources.chunks import Chunk, Source
from nightrank.spark_jobs.sources.formats import IdFormat, TimeFormat
from nightrank.spark_jobs.sources.maps import conform, conform_items, map_columns, with_raw
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.numbers import numbers
from nightrank.spark_jobs.sources.raw import BATCH_ROWS, RawBatch
from nightrank.spark_jobs.sources.times import times

RATINGS: Final = ("userId", "movieId", "rating", "timestamp")
MOVIES: Final = ("movieId", "title", "genres")
USERS: Final = ("userId", "gender", "age", "occupation", "zip")
TAGS: Final = ("userId", "movieId", "tag", "timestamp")
NO_GENRES: Final = "(no genres listed)"
SECONDS: Final = TimeFormat("epoch", "s")
INTEGERS: Final = IdFormat("int64")


def open_source(folder: Path, notes: Notes) -> Source:
    if not any((folder / name).exists() for name in ("ratings.csv", "ratings.dat")):
        raise UsageError(f"{folder} holds neither ratings.csv nor ratings.dat", "give the unpacked folder")
    return Source("movielens", "real", "int64", _chunks(folder, notes))


def _chunks(folder: Path, notes: Notes) -> Iterator[Chunk]:
    for batch in _read(folder, "ratings", RATINGS, notes):
        yield _ratings(batch)
    movies = [_movies(batch) for batch in _read(folder, "movies", MOVIES, notes)] if _has(folder, "movies") else []
    yield from movies
    if movies and (folder / "tags.csv").exists():
        yield from _tagged(pa.concat_tables([chunk.table for chunk in movies]), _read(folder, "tags", TAGS, notes))
    if _has(folder, "users"):
        for batch in _read(folder, "users", USERS, notes):
            yield _users(batch)


def _ratings(batch: RawBatch) -> Chunk:
    rows = batch.table.num_rows
    cells = {
        c.USER_ID: ids(batch.column("userId"), INTEGERS),
        c.ITEM_ID: ids(batch.column("movieId"), INTEGERS),
        c.VALUE: numbers(batch.column("rating")),
        c.EVENT_TIME: times(batch.column("timestamp"), SECONDS),
    }
    arrays = {name: cell.values for name, cell in cells.items()}
    arrays[c.ACTION] = pa.array(["rating"] * rows, pa.string())
    arrays[c.CONTEXT], faulty = with_raw([], cells, rows)
    return Chunk("events", conform(schemas.LANDING_EVENTS, arrays, rows), faulty)


def _movies(batch: RawBatch) -> Chunk:
    given = ids(batch.column("movieId"), INTEGERS)
    genres = [[] if not g or g == NO_GENRES else g.split("|") for g in batch.column("genres").values.to_pylist()]
    arrays = {
        c.ITEM_ID: given.values,
        c.TITLE: batch.column("title").values,
        c.CATEGORIES: pa.array(genres, pa.list_(pa.string())),
    }
    rows = batch.table.num_rows
    return Chunk("items", conform_items(arrays, rows), pc.sum(given.faulty).as_py() or 0)


def _users(batch: RawBatch) -> Chunk:
    given = ids(batch.column("userId"), INTEGERS)
    pairs = [pair for name in USERS[1:] for pair in map_columns(batch.column(name))]
    attributes, faulty = with_raw(pairs, {c.USER_ID: given}, batch.table.num_rows)
    arrays = {c.USER_ID: given.values, c.ATTRIBUTES: attributes}
    return Chunk("users", conform(schemas.LANDING_USERS, arrays, batch.table.num_rows), faulty)


def _tagged(movies: pa.Table, batches: Iterator[RawBatch]) -> Iterator[Chunk]:
    """A film again on each day it is tagged, its text the tags so far: no text is known before it was written."""
    row_of = {item: row for row, item in enumerate(movies.column(c.ITEM_ID).to_pylist())}
    given: list[tuple[int, int, str]] = []
    for batch in batches:
        moments = pc.cast(times(batch.column("timestamp"), SECONDS).values, pa.int64()).to_pylist()
        films = ids(batch.column("movieId"), INTEGERS).values.to_pylist()
        tags = batch.column("tag").values.to_pylist()
        given += [
            (moment, row_of[film], tag.strip())
            for moment, film, tag in zip(moments, films, tags, strict=True)
            if moment is not None and tag and film in row_of
        ]
    known: dict[int, list[str]] = {}
    last: dict[tuple[int, int], tuple[int, str]] = {}
    for moment, row, tag in sorted(given):
        words = known.setdefault(row, [])
        if tag.lower() not in words:
            words.append(tag.lower())
        last[moment // 86_400_000_000, row] = (moment, ", ".join(words))
    if last:
        yield _with_text(movies, [row for _, row in last], list(last.values()))


def _with_text(movies: pa.Table, rows: Sequence[int], texts: Sequence[tuple[int, str]]) -> Chunk:
    table = movies.take(pa.array(rows, pa.int64()))
    moments = pa.array([datetime.fromtimestamp(moment // 1_000_000, UTC) for moment, _ in texts], schemas.TIMESTAMP)
    for name, array in ((c.TEXT, pa.array([text for _, text in texts], pa.string())), (c.AVAILABILITY_TIME, moments)):
        table = table.set_column(table.schema.get_field_index(name), name, array)
    return Chunk("items", table)


def _has(folder: Path, name: str) -> bool:
    return any((folder / f"{name}{ending}").exists() for ending in (".csv", ".dat"))


def _read(folder: Path, name: str, columns: Sequence[str], notes: Notes) -> Iterator[RawBatch]:
    file = folder / f"{name}.csv"
    file = file if file.exists() else folder / f"{name}.dat"
    if file.stat().st_size == 0:
        raise DataContractError(f"{file} is empty (0 bytes)", "unpack the archive again")
    return csv_files.read(file, columns, notes) if file.suffix == ".csv" else _double_colons(file, columns)


def _double_colons(file: Path, columns: Sequence[str]) -> Iterator[RawBatch]:
    """`a::b::c` lines without a header, Latin-1, in the order of `columns`."""
    first_row = 1
    with open(file, encoding="latin-1") as handle:
        while lines := list(islice(handle, BATCH_ROWS)):
            rows = [line.rstrip("\r\n").split("::") for line in lines]
            for index, row in enumerate(rows):
                if len(row) != len(columns):
                    raise DataContractError(
                        f"{file}: line {first_row + index} has {len(row)} fields, not {len(columns)} ({', '.join(columns)})",
                        "unpack the archive again",
                    )
            arrays = [pa.array([value or None for value in values], pa.string()) for values in zip(*rows, strict=True)]
            yield RawBatch(file, first_row, pa.table(arrays, names=list(columns)))
            first_row += len(lines)
