"""Profiles of the landing days of a lake. Each is read once and kept under `profiles/` while its files are the same."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import read_json, sha256_of, write_json
from nightrank.feature_store.contracts.lake import LANDING_KINDS, Lake
from nightrank.feature_store.contracts.landing_files import SCHEMAS, checked, identities, landing_entries, landing_files
from nightrank.feature_store.contracts.tables import ITEMS
from nightrank.feature_store.guards.profile import READ, Profile, profile_of
from nightrank.feature_store.guards.reference import Reference
from nightrank.feature_store.object_storage import arrow


def landing_of(lake: Lake, day: date) -> str:
    """The identity of the day's files, by what the storage says of them."""
    found = [pair for kind in LANDING_KINDS for pair in landing_entries(lake, kind, [day])]
    return sha256_of(identities(lake, found))


def reference_of(context: StageContext, day: date, timezone: str, most: int, without: frozenset[date]) -> Reference:
    """The newest `most` days with events before the day, but those `without`. A day with a broken file is left out."""
    before = [each for each in context.lake.landing_days("events") if each < day and each not in without][-most:]
    found: dict[date, Profile] = {}
    for each in before:
        with suppress(DataContractError):
            found[each] = profile(context, each, timezone)
    return Reference(found, day)


def profile(context: StageContext, day: date, timezone: str) -> Profile:
    """The day's profile. DataContractError where a file of it breaks its contract."""
    lake, landing = context.lake, sha256_of([landing_of(context.lake, day), timezone])
    path = lake.root / "profiles" / f"{day.isoformat()}.json"
    kept = _kept(read_json(path)) if path.exists() else None
    if kept is not None and kept.landing == landing:
        return kept
    events = checked(lake, "events", [day])
    batches = arrow.dataset(events.files, SCHEMAS["events"]).to_batches(columns=READ)
    made = profile_of(
        batches, rows=events.rows, day=day, timezone=timezone, landing=landing, catalogue=_complete_items(lake, day)
    )
    with context.commit():
        write_json(path, made.model_dump(mode="json"))
    return made


def unknown_share(lake: Lake, day: date) -> float | None:
    """The share of the day's events on items that are neither stored nor landed with it; None before the first run."""
    table = delta_read.newest(lake, ITEMS.name)
    events = landing_files(lake, "events", [day])
    if table is None or not events:
        return None
    stored = delta_read.dataset(lake, ITEMS.name, delta_read.file_paths(table), ITEMS.schema)
    known = [stored.to_table(columns=[c.ITEM_ID]).column(c.ITEM_ID)]
    if items := landing_files(lake, "items", [day]):
        known.append(arrow.dataset(items, SCHEMAS["items"]).to_table(columns=[c.ITEM_ID]).column(c.ITEM_ID))
    values = pa.chunked_array([chunk for column in known for chunk in column.chunks], pa.string())
    return _share_outside(arrow.dataset(events, SCHEMAS["events"]).to_batches(columns=[c.ITEM_ID]), values)


def _share_outside(batches: Iterable[pa.RecordBatch], values: pa.ChunkedArray) -> float:
    rows = unknown = 0
    for batch in batches:
        items = batch.column(0).drop_null()
        rows += len(items)
        unknown += len(items) - int(pc.sum(pc.is_in(items, value_set=values)).as_py() or 0)
    return unknown / rows if rows else 0.0


def _complete_items(lake: Lake, day: date) -> int:
    rows = 0
    for path in landing_files(lake, "items", [day]):
        with path.open() as handle, pq.ParquetFile(handle) as file:
            if c.COMPLETE in file.schema_arrow.names:
                rows += int(pc.sum(file.read(columns=[c.COMPLETE]).column(0)).as_py() or 0)
    return rows


def _kept(body: Any) -> Profile | None:
    """None where another release wrote it in another form."""
    try:
        return Profile.model_validate(body)
    except ValidationError:
        return None
