"""Labelled impressions: every row becomes an impression, and a click right after it where its label is 1."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.spark_jobs.sources.cells import Cells, as_text, raw_where
from nightrank.spark_jobs.sources.chunks import Chunk, Clock, PositionClock, Source
from nightrank.spark_jobs.sources.events import typed_reader
from nightrank.spark_jobs.sources.files import input_files, read
from nightrank.spark_jobs.sources.formats import IdFormat, IdType
from nightrank.spark_jobs.sources.mapping import ImpressionMapping, Mapping
from nightrank.spark_jobs.sources.maps import conform, map_columns, with_raw
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.numbers import numbers
from nightrank.spark_jobs.sources.raw import RawBatch, family_of
from nightrank.spark_jobs.sources.typed import TypedReader

LABEL = "label"


def open_source(path: Path, mapping: Mapping, notes: Notes) -> Source:
    how = mapping.impressions or ImpressionMapping()
    clock: Clock = "real" if how.columns.event_time else "position"
    id_format = mapping.id_format(_id_type(path, how))
    return Source("impressions", clock, id_format.type, _chunks(path, how, id_format, notes))


def _id_type(path: Path, how: ImpressionMapping) -> IdType:
    """int64 where a Parquet file says that both id columns are integers."""
    kind, files = input_files(path, how.format)
    if kind != "parquet":
        return "string"
    try:
        schema = pq.read_schema(files[0])
    except (pa.ArrowInvalid, OSError):
        return "string"  # The reader names the damaged file.
    names = [name for name in (how.columns.user_id, how.columns.item_id) if name in schema.names]
    return "int64" if all(family_of(schema.field(name).type) == "integer" for name in names) else "string"


def _chunks(path: Path, how: ImpressionMapping, id_format: IdFormat, notes: Notes) -> Iterator[Chunk]:
    clock, reader = PositionClock(), typed_reader("impressions", how, id_format, notes)
    named = {k: v for k, v in how.columns.model_dump(exclude={"context"}).items() if v}
    everything = how.columns.context is None
    wanted = None if everything else [*named.values(), *(how.columns.context or ())]
    for batch in read(path, wanted, notes, how.reading()):
        context = [n for n in batch.table.column_names if n not in named.values()] if everything else how.columns.context or ()
        yield _chunk(batch, reader, named, list(context), clock)


def _chunk(batch: RawBatch, reader: TypedReader, named: dict[str, str], context: list[str], clock: PositionClock) -> Chunk:
    rows = batch.table.num_rows
    cells = {name: _cell(batch, name, column, reader) for name, column in named.items()}
    pairs = [pair for name in context for pair in map_columns(batch.column(name))]
    arrays = {name: cell.values for name, cell in cells.items() if name != LABEL}
    arrays[c.CONTEXT], faulty = with_raw(pairs, cells, rows)
    once = conform(schemas.LANDING_EVENTS, arrays, rows)
    clicked = pc.fill_null(pc.equal(cells[LABEL].values, 1), False).to_numpy(zero_copy_only=False)
    source = np.repeat(np.arange(rows), clicked.astype(np.int64) + 1)
    second = np.append(False, source[1:] == source[:-1])
    table = once.take(pa.array(source))
    actions = pc.if_else(pa.array(second), "click", "impression")
    table = table.set_column(table.schema.get_field_index(c.ACTION), c.ACTION, actions)
    if c.EVENT_TIME not in named:
        moments = clock.times(table.column(c.USER_ID).combine_chunks())
        table = table.set_column(table.schema.get_field_index(c.EVENT_TIME), c.EVENT_TIME, moments)
    return Chunk("events", table.cast(schemas.LANDING_EVENTS), faulty)


def _cell(batch: RawBatch, name: str, column_name: str, reader: TypedReader) -> Cells:
    if column_name not in batch.table.column_names:
        # Only without a list of context columns, where the reader was asked for whatever there is.
        raise batch.missing(column_name)
    if name != LABEL:
        return reader.cells(batch, name, column_name)
    column = batch.column(column_name)
    found = numbers(column, reader.numbers)
    raw = raw_where(pc.fill_null(as_text(column), "null"), pc.is_in(found.values, pa.array([0.0, 1.0])))
    cells = Cells(found.values, raw, reason="neither 0 nor 1")
    reader.notes.faults.add(reader.table, column_name, cells)
    return cells
