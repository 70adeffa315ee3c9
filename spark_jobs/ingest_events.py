"""ingest_events: what landed goes into events, items and users; what is broken goes to quarantine with its reason."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from pyspark.sql import SparkSession

from nightrank.feature_store import delta_io, quality
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import NothingToDo
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.landing_days import fresh_days, landing_days
from nightrank.feature_store.contracts.landing_files import SCHEMAS, Landed, checked, day_of
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.ingested import IngestAccounts, Ingested
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.storage import Entry, Location
from nightrank.feature_store.contracts.taken_in import remember as remember_files
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.session import get_session
from nightrank.feature_store.transforms import catalogue
from nightrank.feature_store.transforms import events as transforms
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.ingest.accounts import accounts, spoken, stored_counts
from nightrank.spark_jobs.ingest.batch import Batch, judged, refuse_broken
from nightrank.spark_jobs.ingest.days import quarantined_of
from nightrank.spark_jobs.ingest.erased import erased_users
from nightrank.spark_jobs.ingest.user_key import remember, user_key

NAME = "ingest_events"
NEWER = """(s.availability_time > t.availability_time
    OR (s.availability_time = t.availability_time AND s.landing_date >= t.landing_date))"""
CHANGED = "NOT (to_json(array_sort(map_entries(s.attributes))) <=> to_json(array_sort(map_entries(t.attributes))))"
MOST_PRUNED_DAYS = 400


def run(context: StageContext) -> StageResult:
    """Takes in the run's landing days; a night's are all since its champion's date.

    NothingToDo without a valid event (in a night without events: without a valid item or user); DataContractError if too much
    of it is broken.
    """
    settings = submit.settings(context)
    key, erased = user_key(settings.ids, context.lake), erased_users(settings.ids, context.lake)
    meta = context.lake.landing_meta()
    landed = {kind: checked(context.lake, kind, landing_days(context, kind)) for kind in SCHEMAS}
    if not any(kind.rows for kind in landed.values()) or not fresh_days(context):
        raise _nothing(context)
    spark = get_session(settings.spark)
    expect = quality.Expectations(
        integer_ids=meta.get("id_type") == "int64",
        position_clock=meta.get("clock") == "position",
        timezone=settings.calendar.timezone,
        future_tolerance_seconds=settings.ingest.future_tolerance_seconds,
        first_date=settings.ingest.first_date,
    )
    described: tuple[LandingKind, ...] = ("items", "users")
    batches = {kind: judged(spark, context, settings, expect, landed[kind], key, erased=erased) for kind in described}
    batches["events"] = judged(spark, context, settings, expect, landed["events"], key, batches["items"], erased)
    try:
        for batch in batches.values():
            refuse_broken(batch, settings.ingest.max_quarantine_fraction)
        with context.commit():
            remember(context.lake, key)
        commits = _commit(spark, context, settings, batches, hashed=key is not None)
        wanted: tuple[LandingKind, ...] = tuple(batches) if context.without_events else ("events",)
        if not any(batches[kind].valid_rows for kind in wanted):
            raise _nothing(context)
        _remember_files(context, landed)
        return _result(spark, context, batches, commits, hashed=key is not None)
    finally:
        for batch in batches.values():
            batch.rows.unpersist()


def _nothing(context: StageContext) -> NothingToDo:
    return NothingToDo(
        f"no valid event landed for {context.day}", "lists stay as they are; run the next date when it has landed"
    )


def _remember_files(context: StageContext, landed: Mapping[LandingKind, Landed]) -> None:
    """The lake says of every file that it is in the tables."""
    days: dict[date, list[tuple[Location, Entry]]] = {}
    for found in landed.values():
        for path, entry in found.entries:
            days.setdefault(day_of(path), []).append((path, entry))
    with context.commit():
        remember_files(context.lake, context.run_id, days)


def _commit(
    spark: SparkSession, context: StageContext, settings: DataSections, batches: dict[LandingKind, Batch], *, hashed: bool
) -> list[Commit]:
    """Quarantine, users, items, then the events that point at them. Each can be killed after and run again."""
    zone = settings.calendar.timezone
    valid = batches["events"].valid
    events = transforms.first_of_each(transforms.events(quality.without_raw(valid) if hashed else valid, timezone=zone))
    # In order of day, so that file statistics keep later nights from reading years of files.
    events = events.repartitionByRange(c.EVENT_DATE).sortWithinPartitions(c.EVENT_DATE)
    users = transforms.users(batches["users"].valid, timezone=zone)
    commits = _quarantine(spark, context, batches, hashed=hashed)
    stored = delta_io.read_or_empty(spark, context.lake, tables.ITEMS)
    items = catalogue.items(batches["items"].valid, stored, timezone=zone)
    stubs = catalogue.stubs(events, stored.select(c.ITEM_ID).union(items.select(c.ITEM_ID)))
    prune = _pruning(batches["events"], settings.ingest.duplicate_days)
    merge: dict[str, Any] = {"context": context, "key": NAME}
    commits += [
        delta_io.upsert(users, context.lake, tables.USERS, update_if=f"{NEWER} AND {CHANGED}", **merge),
        delta_io.upsert(items.unionByName(stubs), context.lake, tables.ITEMS, **merge),
        delta_io.upsert(events, context.lake, tables.EVENTS, update=False, prune=prune, **merge),
    ]
    return commits


def _pruning(batch: Batch, around: int) -> str | None:
    """The days on which a stored duplicate can stand, so that files of other days are not read; None: no event.

    A derived id holds its event's time, so its duplicate stands on the same day, or beside it where it was taken in under
    another `calendar.timezone`. A given id is looked for up to `around` days beside it: a source may send an event again with
    its time in another zone.
    """
    if not batch.dates:
        return None
    most = around if batch.ids_given else 1
    reach = range(-most, most + 1)
    days = sorted({date.fromisoformat(day) + timedelta(step) for day in batch.dates for step in reach})
    if len(days) > MOST_PRUNED_DAYS:
        return f"t.{c.EVENT_DATE} BETWEEN DATE'{days[0]}' AND DATE'{days[-1]}'"
    listed = ", ".join(f"DATE'{day}'" for day in days)
    return f"t.{c.EVENT_DATE} IN ({listed})"


def _quarantine(spark: SparkSession, context: StageContext, batches: dict[LandingKind, Batch], *, hashed: bool) -> list[Commit]:
    """Afterwards the landing days' quarantine is what this run found. A lake that never had a broken row has no table."""
    broken = any(batch.faults for batch in batches.values())
    if not broken and not delta_io.exists(context.lake, tables.QUARANTINE):
        return []
    days = quarantined_of(context)
    if not broken and delta_io.read(spark, context.lake, tables.QUARANTINE).where(days).isEmpty():
        return []
    # What an import could not read may hold the raw id that hashing is to hide.
    hidden = (c.CONTEXT, c.ATTRIBUTES) if hashed else ()
    found = [quality.quarantined(batch.kept, kind, hidden) for kind, batch in batches.items()]
    rows = found[0].unionByName(found[1]).unionByName(found[2])
    key = f"{NAME}:{sha256_of([batch.landed.fingerprint for batch in batches.values()])}"
    return [delta_io.replace_where(rows, context.lake, tables.QUARANTINE, days, context=context, key=key)]


def _result(
    spark: SparkSession, context: StageContext, batches: dict[LandingKind, Batch], commits: list[Commit], *, hashed: bool
) -> StageResult:
    counts = stored_counts(spark, context, batches["events"], commits[-1].rows)
    section = accounts(batches, counts, hashed=hashed)
    for line in spoken(section):
        log.info(f"{NAME}: {line}")
    faults: dict[str, int] = {}
    for batch in batches.values():
        for reason, n in batch.faults.items():
            faults[reason] = faults.get(reason, 0) + n
    return StageResult(
        NAME,
        rows_in=sum(batch.landed.rows for batch in batches.values()),
        rows_out=sum(commit.rows for commit in commits),
        bytes_read=sum(batch.landed.bytes for batch in batches.values()),
        bytes_written=sum(commit.bytes_written for commit in commits),
        tables=table_entries(spark, context.lake, [(tables.CATALOGUE[x.name], x.from_version) for x in commits]),
        counts={**counts, "quarantined": faults},
        output=Ingested(ingest=IngestAccounts.model_validate(section)),
    )


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
