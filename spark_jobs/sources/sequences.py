"""`user item item …` lines, oldest item first, with an optional tab file of titles. There is no clock but the position."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.spark_jobs.sources.chunks import Chunk, PositionClock, Source
from nightrank.spark_jobs.sources.dialect import open_text
from nightrank.spark_jobs.sources.maps import conform, conform_items
from nightrank.spark_jobs.sources.notes import Notes

LINES: Final = 8_192
ACTION: Final = "view"


def open_source(path: Path, titles: Path | None, notes: Notes) -> Source:
    """Ids stay text: a `007` in such a file is not a 7."""
    for file in (path, titles):
        if file is not None and not file.is_file():
            raise UsageError(f"{file} is not a file", "--input (and --titles) each take one text file")
        if file is not None and file.stat().st_size == 0:
            raise DataContractError(f"{file} is empty (0 bytes)", "check how it was written")
    return Source("sequences", "position", "string", _chunks(path, titles, notes))


def _chunks(path: Path, titles: Path | None, notes: Notes) -> Iterator[Chunk]:
    clock = PositionClock()
    without_items: list[str] = []
    for lines in _blocks(path):
        rows = [line.split() for line in lines]
        without_items += [row[0] for row in rows if len(row) == 1]
        yield _events(rows, clock)
    if without_items:
        notes.warn(f"{path.name}: users without items are kept as users without history", len(without_items))
        ids = pa.array(without_items, pa.string())
        yield Chunk("users", conform(schemas.LANDING_USERS, {c.USER_ID: ids}, len(without_items)))
    if titles is not None:
        yield from _titles(titles)


def _events(rows: list[list[str]], clock: PositionClock) -> Chunk:
    filled = [row for row in rows if len(row) > 1]
    users = pa.array([row[0] for row in filled], pa.string())
    lengths = np.array([len(row) - 1 for row in filled], np.int64)
    user = users.take(pa.array(np.repeat(np.arange(len(filled)), lengths)))
    item = pa.array([item for row in filled for item in row[1:]], pa.string())
    arrays = {
        c.USER_ID: user,
        c.ITEM_ID: item,
        c.ACTION: pa.array([ACTION] * len(item), pa.string()),
        c.EVENT_TIME: clock.times(user),
    }
    return Chunk("events", conform(schemas.LANDING_EVENTS, arrays, len(item)))


def _titles(path: Path) -> Iterator[Chunk]:
    """(id, title) lines; a header such as `item_id:token	title:token_seq` is skipped."""
    number = 0
    for lines in _blocks(path):
        ids, texts = [], []
        for line in lines:
            number += 1
            item, tab, title = line.rstrip("\r\n").partition("\t")
            if not tab:
                raise DataContractError(
                    f"{path}: line {number} has no tab between an item id and its title", "write `id<TAB>title` lines"
                )
            if number > 1 or not (item.startswith("item_id") or item.endswith(":token")):
                ids.append(item.strip() or None)
                texts.append(title.strip() or None)
        arrays = {c.ITEM_ID: pa.array(ids, pa.string()), c.TITLE: pa.array(texts, pa.string())}
        yield Chunk("items", conform_items(arrays, len(ids)))


def _blocks(path: Path) -> Iterator[list[str]]:
    try:
        with open_text(path) as handle:
            while lines := list(islice(handle, LINES)):
                yield [line for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise DataContractError(f"{path}: not UTF-8 text (byte {error.start})", "convert the file to UTF-8") from None
