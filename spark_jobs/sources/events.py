"""The user's own files by a column mapping: events, and items and users where the mapping names them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.spark_jobs.sources.cells import Cells, as_text
from nightrank.spark_jobs.sources.chunks import Chunk, Clock, PositionClock, Source
from nightrank.spark_jobs.sources.files import read
from nightrank.spark_jobs.sources.formats import IdFormat
from nightrank.spark_jobs.sources.mapping import IGNORE, EventMapping, FileMapping, ItemMapping, Mapping, UserMapping
from nightrank.spark_jobs.sources.maps import conform, conform_items, map_columns, number_map, with_raw
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import RawBatch
from nightrank.spark_jobs.sources.typed import TypedReader


def open_source(path: Path, mapping: Mapping, notes: Notes) -> Source:
    if mapping.events is None:
        raise ConfigError(
            "`import events` needs a mapping with a section `events`",
            "use `nightrank import items` for a catalogue without events"
            if mapping.items
            else "write one: --mapping my.yaml, like conf/mapping-example.yaml",
        )
    clock: Clock = "real" if mapping.events.columns.event_time else "position"
    return Source("events", clock, mapping.id_format().type, _chunks(path, mapping, notes), _states(mapping))


def open_catalogue(path: Path, mapping: Mapping, meta: dict[str, str], notes: Notes) -> Source:
    """Items (and users) alone, for a lake with that meta.json: a catalogue, or new prices and stock of a part of it."""
    if mapping.items is None and mapping.users is None:
        raise ConfigError(
            "`import items` needs a mapping with a section `items`",
            "write one: --mapping my.yaml, like conf/mapping-example.yaml",
        )
    alone = mapping.model_copy(update={"events": None, "id_type": mapping.id_type or meta["id_type"]})
    clock: Clock = "position" if meta["clock"] == "position" else "real"
    return Source("items", clock, alone.id_format().type, _chunks(path, alone, notes), _states(alone))


def _states(mapping: Mapping) -> frozenset[LandingKind]:
    """The kinds without an `availability_time`: each export of them is the state of a day."""
    given: dict[LandingKind, ItemMapping | UserMapping | None] = {"items": mapping.items, "users": mapping.users}
    return frozenset(kind for kind, section in given.items() if section and section.columns.availability_time is None)


def _chunks(path: Path, mapping: Mapping, notes: Notes) -> Iterator[Chunk]:
    id_format = mapping.id_format()
    if mapping.events is not None:
        builder = EventBuilder(mapping.events, id_format, notes)
        for batch in _read(path, mapping.events, builder.wanted, notes):
            yield builder.chunk(batch)
    if mapping.items is not None:
        reader = typed_reader("items", mapping.items, id_format, notes)
        rows = 0
        for batch in _read(path, mapping.items, _wanted(mapping.items.columns.model_dump()), notes):
            rows += batch.table.num_rows
            yield item_chunk(batch, mapping.items, reader)
        if mapping.items.complete and rows == 0:
            raise DataContractError(
                f"{mapping.items.path or path} holds no items, so `complete: true` would remove every item from the lists",
                "nothing landed; export it again, or leave out `complete`",
            )
    if mapping.users is not None:
        reader = typed_reader("users", mapping.users, id_format, notes)
        for batch in _read(path, mapping.users, _wanted(mapping.users.columns.model_dump()), notes):
            yield user_chunk(batch, mapping.users, reader)


def _read(path: Path, mapping: FileMapping, wanted: list[str], notes: Notes) -> Iterator[RawBatch]:
    base = path if path.is_dir() and not (path / "_delta_log").is_dir() else path.parent
    target = path if mapping.path is None else base / mapping.path
    return read(target, wanted, notes, mapping.reading())


def typed_reader(table: str, mapping: FileMapping, id_format: IdFormat, notes: Notes) -> TypedReader:
    return TypedReader(table, id_format, mapping.time.how(), mapping.numbers.how(), notes)


def _wanted(columns: dict[str, str | tuple[str, ...] | None]) -> list[str]:
    names: list[str] = []
    for value in columns.values():
        names += [] if value is None else [value] if isinstance(value, str) else list(value)
    return list(dict.fromkeys(names))


@dataclass
class EventBuilder:
    """Batches of an event file to landing events; carries the position clock from batch to batch."""

    mapping: EventMapping
    id_format: IdFormat
    notes: Notes
    clock: PositionClock = field(default_factory=PositionClock)
    reader: TypedReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = typed_reader("events", self.mapping, self.id_format, self.notes)

    @property
    def wanted(self) -> list[str]:
        return _wanted(self.mapping.columns.model_dump())

    def chunk(self, batch: RawBatch) -> Chunk:
        rows = batch.table.num_rows
        cells = self._cells(batch)
        arrays = {name: cell.values for name, cell in cells.items()}
        arrays[c.ACTION] = self._actions(batch, rows)
        if self.mapping.columns.event_time is None:
            arrays[c.EVENT_TIME] = self.clock.times(arrays[c.USER_ID])
        pairs = [pair for name in self.mapping.columns.context for pair in map_columns(batch.column(name))]
        arrays[c.CONTEXT], faulty = with_raw(pairs, cells, rows)
        table = conform(schemas.LANDING_EVENTS, arrays, rows)
        return Chunk("events", table.filter(pc.not_equal(pc.fill_null(table[c.ACTION], ""), IGNORE)), faulty)

    def _cells(self, batch: RawBatch) -> dict[str, Cells]:
        named = {k: v for k, v in self.mapping.columns.model_dump(exclude={"context", "action"}).items() if v}
        return {name: self.reader.cells(batch, name, column) for name, column in named.items()}

    def _actions(self, batch: RawBatch, rows: int) -> pa.Array:
        if self.mapping.columns.action is None:
            return pa.array([self.mapping.default_action] * rows, pa.string())
        given = as_text(batch.column(self.mapping.columns.action))
        names = {name: self._action(name) for name in pc.unique(given).to_pylist() if name is not None}
        unknown = Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(given).to_pylist()})
        for name, action in names.items():
            if action is None:
                became = (
                    f"became `{self.mapping.unknown_actions}`" if self.mapping.unknown_actions != IGNORE else "was left out"
                )
                self.notes.warn(f"action {name!r} is not in the mapping and {became}", unknown[name])
            elif action == IGNORE:
                self.notes.left_out[f"action {name!r} is ignored"] += unknown[name]
        other = self.mapping.unknown_actions
        return pa.array([None if g is None else names[g] or other for g in given.to_pylist()], pa.string())

    def _action(self, name: str) -> str | None:
        """The landing action of a given name; None where neither the mapping nor the contract knows it."""
        if name in self.mapping.actions:
            return self.mapping.actions[name] or IGNORE
        plain = name.strip().lower()
        return plain if plain in ACTION_CODES else None


def item_chunk(batch: RawBatch, mapping: ItemMapping, reader: TypedReader) -> Chunk:
    columns, rows = mapping.columns, batch.table.num_rows
    named = columns.model_dump(exclude={"categories", "numbers"})
    cells = {name: reader.cells(batch, name, source) for name, source in named.items() if source}
    arrays = {name: cell.values for name, cell in cells.items()}
    if columns.categories:
        arrays[c.CATEGORIES] = categories(batch, columns.categories, mapping.categories_separator)
    if columns.numbers:
        numbers = [(name, reader.cells(batch, c.NUMBERS, name).values) for name in columns.numbers]
        arrays[c.NUMBERS] = number_map(numbers, rows)
    if mapping.complete:
        arrays[c.COMPLETE] = pa.array([True] * rows, pa.bool_())
    mapped = [name for name, source in columns.model_dump().items() if source and name not in (c.ITEM_ID, c.AVAILABILITY_TIME)]
    arrays[c.FIELDS] = pa.array([mapped] * rows, pa.list_(pa.string()))
    faulty = pc.sum(cells[c.ITEM_ID].faulty).as_py() or 0
    return Chunk("items", conform_items(arrays, rows), faulty)


def categories(batch: RawBatch, name: str, separator: str) -> pa.Array:
    """Lists of category names: from a list column, or from text cut at the separator; empty names are left out."""
    column = batch.column(name)
    if column.family == "list":
        return pc.cast(column.values, pa.list_(pa.string()))
    texts = as_text(column).to_pylist()
    lists = [None if t is None else [part.strip() for part in t.split(separator) if part.strip()] for t in texts]
    return pa.array(lists, pa.list_(pa.string()))


def user_chunk(batch: RawBatch, mapping: UserMapping, reader: TypedReader) -> Chunk:
    columns, rows = mapping.columns, batch.table.num_rows
    named = columns.model_dump(exclude={"attributes"})
    cells = {name: reader.cells(batch, name, source) for name, source in named.items() if source}
    arrays = {name: cell.values for name, cell in cells.items()}
    pairs = [pair for name in columns.attributes for pair in map_columns(batch.column(name))]
    arrays[c.ATTRIBUTES], faulty = with_raw(pairs, cells, rows)
    return Chunk("users", conform(schemas.LANDING_USERS, arrays, rows), faulty)
