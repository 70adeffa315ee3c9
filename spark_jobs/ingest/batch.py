"""One kind's landed rows, each with its verdict, and what one pass over them counted."""

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, quality
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.landing_files import Landed
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.transforms import events as transforms
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.ingest import landing
from nightrank.spark_jobs.ingest.erased import ERASED, Erased, with_erased


@dataclass(frozen=True)
class Batch:
    """The judged rows of one kind (`reason` null: valid) and what their one pass over the files counted."""

    kind: LandingKind
    landed: Landed
    rows: DataFrame
    faults: dict[str, int]
    dates: tuple[str, ...]
    ids_given: int
    unreadable: dict[str, int]
    """Events by the column whose cell could not be read though the event was kept."""
    erased: int = 0
    """Rows of erased users. They are in nothing else here."""

    @property
    def valid(self) -> DataFrame:
        return self.rows.where(F.col(c.REASON).isNull()).drop(c.REASON)

    @property
    def kept(self) -> DataFrame:
        """The rows without those of erased users."""
        return self.rows.where(~F.col(c.REASON).eqNullSafe(ERASED)) if self.erased else self.rows

    @property
    def valid_rows(self) -> int:
        return self.landed.rows - self.erased - sum(self.faults.values())


def judged(
    spark: SparkSession,
    context: StageContext,
    settings: DataSections,
    expect: quality.Expectations,
    landed: Landed,
    key: bytes | None,
    items: Batch | None = None,
    erased: Erased | None = None,
) -> Batch:
    """The rows with their reason, ids in their one form, users under `key`. `items` are the ones landed with these events.
    Rows of `erased` users are counted and left out."""
    rules = {"events": quality.event_rules, "items": quality.item_rules, "users": quality.user_rules}[landed.kind](expect)
    rows = quality.judged(landing.read(spark, context.lake, landed), rules)
    if expect.integer_ids:
        rows = transforms.decimal_ids(rows)
    if items is not None and settings.ingest.unknown_items == "quarantine":
        rows = _known_items_only(rows, items.valid, delta_io.read_or_empty(spark, context.lake, tables.ITEMS))
    if erased is not None and c.USER_ID in rows.columns:
        rows = with_erased(rows, erased)
    if key is not None and c.USER_ID in rows.columns:
        rows = transforms.hashed_users(rows, key)
    return _profiled(landed, rows, settings.calendar.timezone)


def _known_items_only(rows: DataFrame, landed: DataFrame, stored: DataFrame) -> DataFrame:
    known = stored.select(c.ITEM_ID).union(landed.select(c.ITEM_ID)).distinct().withColumn("_known", F.lit(True))
    unknown = F.col(c.REASON).isNull() & F.col("_known").isNull()
    reason = F.when(unknown, F.lit(quality.UNKNOWN_ITEM)).otherwise(F.col(c.REASON))
    return rows.join(known, c.ITEM_ID, "left").withColumn(c.REASON, reason).drop("_known")


def _profiled(landed: Landed, rows: DataFrame, timezone: str) -> Batch:
    """One pass: rows per reason, the dates of the valid ones, and whether any brought an id of its own.

    The rows stay on the executors, memory first and then disk: a long log lands as thousands of small files, slow to open.
    """
    if not landed.rows:
        return Batch(landed.kind, landed, rows, {}, (), 0, {})
    rows = rows.persist()
    measures = [F.count(F.lit(1)).alias("n")]
    if landed.kind == "events":
        day = F.date_trunc("day", F.from_utc_timestamp(c.EVENT_TIME, timezone)).cast("date").cast("string")
        measures += [F.collect_set(day).alias("dates"), F.count(c.EVENT_ID).alias("given")]
        measures += [F.count_if(quality.unreadable(name)).alias(f"bad_{name}") for name in quality.MAY_BE_UNREADABLE]
    found = {row[c.REASON]: row.asDict() for row in rows.groupBy(c.REASON).agg(*measures).collect()}
    valid = found.pop(None, {})
    erased = found.pop(ERASED, {}).get("n", 0)
    faults = {reason: row["n"] for reason, row in sorted(found.items())}
    unreadable = {name: n for name in quality.MAY_BE_UNREADABLE if (n := valid.get(f"bad_{name}", 0))}
    days = tuple(sorted(valid.get("dates", ())))
    return Batch(landed.kind, landed, rows, faults, days, valid.get("given", 0), unreadable, erased)


def refuse_broken(batch: Batch, most: float) -> None:
    """DataContractError where more than the fraction `most` is broken: a broken feed, not a few broken rows."""
    broken = sum(batch.faults.values())
    if broken > most * batch.landed.rows:
        reasons = ", ".join(f"{reason} {n}" for reason, n in batch.faults.items())
        raise DataContractError(
            f"{broken} of {batch.landed.rows} landed {batch.kind} are broken ({reasons}); nothing was stored",
            f"fix the feed, or raise ingest.max_quarantine_fraction (now {most})",
        )
