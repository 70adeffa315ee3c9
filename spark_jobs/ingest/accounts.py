"""What became of each landed event, so that it adds up: landed = taken in + duplicates + quarantined + erased, with samples."""

from typing import Any, Final

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, quality
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.settings import CalendarSettings
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.transforms import catalogue
from nightrank.feature_store.transforms import events as transforms
from nightrank.spark_jobs.ingest.batch import Batch
from nightrank.spark_jobs.ingest.days import landed_in

SAMPLES: Final = 3
LONGEST: Final = 60
PERSONAL: Final = {c.USER_ID}


def stored_counts(spark: SparkSession, context: StageContext, batch: Batch, inserted: int) -> dict[str, int]:
    """Counted in the tables, by landing day: a stage that was killed after its commit and ran again says the same.

    `events` are those of this landing that are in the table, whoever wrote them; never more than landed.
    """
    landed = F.expr(landed_in(context, c.LANDING_DATE))
    overdue = F.col(c.EVENT_DATE) < F.col(c.LANDING_DATE) if context.kind == "nightly" else F.lit(False)
    events = delta_io.read(spark, context.lake, tables.EVENTS).where(landed)
    stubs = delta_io.read(spark, context.lake, tables.ITEMS).where(landed & catalogue.is_stub())
    here = events.select(F.lit("events").alias("what"), overdue.alias("late"))
    found = here.unionByName(stubs.select(F.lit("stubs").alias("what"), F.lit(False).alias("late")))
    counted = found.groupBy("what").agg(F.count(F.lit(1)).alias("rows"), F.count_if("late").alias("late")).collect()
    n = {row["what"]: (row["rows"], row["late"]) for row in counted}
    stored, late = n.get("events", (0, 0))
    # Where more stands than was put in now, some of it may be of an earlier landing that is no longer there.
    taken = stored if stored == inserted else _standing(batch, events, context)
    return {
        "landed": batch.landed.rows,
        "events": taken,
        "duplicates": batch.valid_rows - taken,
        "erased": batch.erased,
        "late": late,
        "unknown_items": n.get("stubs", (0, 0))[0],
    }


def _standing(batch: Batch, stored: DataFrame, context: StageContext) -> int:
    zone = context.section("calendar", CalendarSettings).timezone
    ids = transforms.events(batch.valid, timezone=zone).select(c.EVENT_ID).distinct()
    return int(stored.select(c.EVENT_ID).join(ids, c.EVENT_ID, "left_semi").count())


def accounts(batches: dict[LandingKind, Batch], counts: dict[str, int], *, hashed: bool) -> dict[str, Any]:
    """The section `ingest` of result.json: the sum of the events, and each fault by table, column and reason with samples."""
    quarantined, erased = sum(batches["events"].faults.values()), batches["events"].erased
    assert counts["landed"] == counts["events"] + counts["duplicates"] + quarantined + erased, "landed events do not add up"
    faults = [fault for kind, batch in batches.items() for fault in _faults(kind, batch, hashed)]
    return {
        "landed": counts["landed"],
        "events": counts["events"],
        "duplicates": counts["duplicates"],
        "quarantined": quarantined,
        "erased": erased,
        "unreadable": batches["events"].unreadable,
        "faults": faults,
    }


def _faults(kind: str, batch: Batch, hashed: bool) -> list[dict[str, Any]]:
    if not batch.faults:
        return []
    samples: dict[str, list[str]] = {reason: [] for reason in batch.faults}
    nth = F.row_number().over(Window.partitionBy(c.REASON).orderBy(c.FILE))
    shown = batch.kept.where(F.col(c.REASON).isNotNull()).withColumn("_nth", nth).where(F.col("_nth") <= SAMPLES)
    for row in shown.drop("_nth").collect():
        samples[row[c.REASON]].append(_sample(row.asDict(), quality.column_of(row[c.REASON]), hashed))
    return [
        {"table": kind, "column": quality.column_of(reason), "reason": reason, "rows": rows, "samples": sorted(samples[reason])}
        for reason, rows in batch.faults.items()
    ]


def _sample(row: dict[str, Any], column: str, hashed: bool) -> str:
    """Where the row came from and, unless it may name a person, what was in the cell."""
    if column in PERSONAL or hashed:
        return str(row[c.FILE])
    raw = (row.get(c.CONTEXT) or row.get(c.ATTRIBUTES) or {}).get(quality.RAW)
    text = f"{column}={row.get(column)}" if raw is None else str(raw)
    return f"{row[c.FILE]}: {text[:LONGEST]}"


def spoken(section: dict[str, Any]) -> list[str]:
    """The lines a user reads while the stage runs."""
    lines = [
        f"{section['landed']:,} events landed = {section['events']:,} taken in + {section['duplicates']:,} duplicates "
        f"+ {section['quarantined']:,} quarantined" + (f" + {section['erased']:,} of erased users" if section["erased"] else "")
    ]
    lines += [f"  {name} could not be read in {rows:,} events, which were kept" for name, rows in section["unreadable"].items()]
    for fault in section["faults"]:
        lines.append(f"  {fault['rows']:,} {fault['table']}: {fault['reason']}, for example {'; '.join(fault['samples'])}")
    return lines
