"""A lake as a full run over some days would have left its tables, written by Arrow: Spark would take an hour for the longest.

Tables `events`, `items`, `vocabulary` and `interactions`, and a champion whose snapshot has no rows: that is all a night reads.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake

from benchmarks.nightly.market import FIRST, day_of, events_of, items_of
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas, tables
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, SplitRule

DAYS_A_FILE: Final = 5
MICROSECONDS: Final = pa.timestamp("us")
PROPERTIES: Final = {"delta.enableDeletionVectors": "false"}


def build(lake: Lake, days: int, events: int, seed: int, features: Features) -> None:
    """`days` days of `events` each are in the lake's tables, in order of the day, and its champion was trained on them."""
    seen: set[str] = set()
    for first in range(0, days, DAYS_A_FILE):
        numbers = range(first, min(first + DAYS_A_FILE, days))
        found = pa.concat_tables([_stored(number, events_of(number, events, seed)) for number in numbers])
        found = found.sort_by([(c.EVENT_DATE, "ascending")])
        _append(lake, tables.EVENTS, found)
        _append(lake, tables.INTERACTIONS, _dense(found))
        seen.update(pc.unique(found[c.USER_ID]).to_pylist())
    described = [_described(number, items_of(number)) for number in range(days)]
    _append(lake, tables.ITEMS, pa.concat_tables(described))
    items = pa.concat_tables(described)[c.ITEM_ID].to_pylist()
    ids = pa.concat_tables([_vocabulary("item", items), _vocabulary("user", sorted(seen))])
    _append(lake, tables.VOCABULARY, ids)
    _declare(lake, days - 1, len(items), len(seen), features)


def _stored(number: int, landed: pa.Table) -> pa.Table:
    """Rows of `events`: what ingest adds to them."""
    rows, times = len(landed), landed[c.EVENT_TIME]
    columns = {
        **{name: landed[name] for name in landed.column_names},
        c.AVAILABILITY_TIME: _known_from(times, _start(number)),
        c.EVENT_DATE: times.cast(MICROSECONDS).cast(pa.date32(), safe=False),
        c.LANDING_DATE: pa.array([day_of(number)] * rows, pa.date32()),
    }
    return pa.table([columns[name] for name in schemas.EVENTS.names], schema=schemas.EVENTS)


def _known_from(times: pa.ChunkedArray, start: datetime) -> pa.ChunkedArray:
    """An event that landed on a later day is known from the start of that day."""
    return pc.if_else(pc.less(times, pa.scalar(start, times.type)), pa.scalar(start, times.type), times)


def _dense(events: pa.Table) -> pa.Table:
    """Rows of `interactions`. The shop numbers users and items itself, and the ids follow it."""
    codes = pa.array(ACTION_CODES.values(), pa.int8())
    columns = {
        c.USER: _number(events[c.USER_ID]),
        c.ITEM: _number(events[c.ITEM_ID]),
        c.ACTION: codes.take(pc.index_in(events[c.ACTION], pa.array(ACTION_CODES))),
        c.EVENT_TIME: events[c.EVENT_TIME].cast(pa.int64()),
        c.AVAILABILITY_TIME: events[c.AVAILABILITY_TIME].cast(pa.int64()),
    }
    found = [columns.get(name, events[name] if name in events.column_names else None) for name in schemas.INTERACTIONS.names]
    return pa.table(found, schema=schemas.INTERACTIONS)


def _number(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(pc.utf8_slice_codeunits(ids, 1).cast(pa.int32()), pa.scalar(1, pa.int32()))


def _described(number: int, landed: pa.Table) -> pa.Table:
    rows, start = len(landed), _start(number)
    mark = f"{day_of(number)}#000000"
    columns = {
        c.AVAILABILITY_TIME: [start] * rows,
        c.LANDING_DATE: [day_of(number)] * rows,
        c.FIRST_LANDED: [day_of(number)] * rows,
        c.PRICED: [start] * rows,
        c.LISTED: [mark] * rows,
    }
    found = [
        landed[field.name]
        if field.name in landed.column_names and field.name not in columns and field.name != c.COMPLETE
        else pa.array(columns.get(field.name, [None] * rows), field.type)
        for field in schemas.ITEMS
    ]
    return pa.table(found, schema=schemas.ITEMS)


def _vocabulary(kind: str, raw: list[str]) -> pa.Table:
    rows = len(raw)
    columns = {
        c.KIND: [kind] * rows,
        c.RAW_ID: raw,
        c.DENSE_ID: [int(name[1:]) + 1 for name in raw],
        c.FIRST_AVAILABLE: [_start(0)] * rows,
        c.LANDING_DATE: [FIRST] * rows,
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in schemas.VOCABULARY], schema=schemas.VOCABULARY)


def _append(lake: Lake, table: tables.TableRef, rows: pa.Table) -> None:
    place = lake.table(table.name).path
    place.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(str(place), rows.combine_chunks(), mode="append", configuration=PROPERTIES)


def _start(number: int) -> datetime:
    return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=number)


def _declare(lake: Lake, last: int, items: int, users: int, features: Features) -> None:
    end = int(_start(last + 1).timestamp()) * 1_000_000 - 1
    snapshot = DatasetSnapshot(
        kind="full", date=day_of(last).isoformat(), clock="real", parts={}, normalisation=Normalisation(),
        split=SplitRule(kind="global_time", holdout_modulus=10), event_time_cutoff=end, availability_cutoff=end, seed=17,
        items=items, users=users, features=features,
    )  # fmt: skip
    snapshot.save(lake.snapshot(snapshot.id))
    declare(lake, snapshot.id, f"full-{snapshot.date}", snapshot.date)


def declare(lake: Lake, snapshot_id: str, run_id: str, date: str) -> None:
    """The run is the lake's champion, as if the gate had promoted what it trained."""
    ref = ModelRef(
        name="benchmark", version=1, alias="champion", mlflow_run_id="none", manifest_sha256="0" * 64,
        vocabulary_lineage="none", vocabulary_items=1, snapshot_id=snapshot_id, run_id=run_id, date=date, bundle="models/none",
    )  # fmt: skip
    ref.save(lake.champion_path)
