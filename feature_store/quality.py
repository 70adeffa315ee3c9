"""Expectations on landed rows: which rule a row breaks first, in words that are in `quarantine`."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.transforms.calendar import start_of_day

RAW: Final = "_raw"
"""Key that an import leaves in `context` or `attributes` for cells it could not read."""
UNREAD: Final = "_unread"
"""The same for amounts."""
UNKNOWN_ITEM: Final = "unknown_item"
MAY_BE_UNREADABLE: Final = (c.VALUE, c.POSITION, c.PROPENSITY, c.AVAILABILITY_TIME)
"""Cells of an event that are left out where they cannot be read, and counted: they do not discard the event."""
OTHER_COLUMNS: Final = {"future_event": c.EVENT_TIME, "bad_time": c.EVENT_TIME, "ancient_event": c.EVENT_TIME}
Rule = tuple[str, Column]


@dataclass(frozen=True)
class Expectations:
    """What the lake's landing meta and the configuration say about a valid row."""

    integer_ids: bool
    position_clock: bool
    timezone: str
    future_tolerance_seconds: int
    first_date: date = date(1970, 1, 1)


def event_rules(expect: Expectations) -> list[Rule]:
    """In the order of precedence: a row gets the first reason that applies."""
    time, raw = F.col(c.EVENT_TIME), F.coalesce(F.col(c.CONTEXT)[RAW].isNotNull(), F.lit(False))
    propensity = F.col(c.PROPENSITY)
    return [
        *_id_rules(c.USER_ID, expect),
        *_id_rules(c.ITEM_ID, expect),
        ("bad_time", time.isNull() & raw),
        ("null_event_time", time.isNull()),
        ("ancient_event", F.lit(not expect.position_clock) & (time < start_of_day(F.lit(expect.first_date), expect.timezone))),
        ("future_event", F.lit(not expect.position_clock) & (F.unix_seconds(time) > _last_second(expect))),
        ("bad_propensity", propensity.isNotNull() & ~((propensity > 0) & (propensity <= 1))),
        ("bad_position", F.col(c.POSITION) < 0),
    ]


def item_rules(expect: Expectations) -> list[Rule]:
    return _id_rules(c.ITEM_ID, expect)


def user_rules(expect: Expectations) -> list[Rule]:
    return _id_rules(c.USER_ID, expect)


def judged(df: DataFrame, rules: list[Rule]) -> DataFrame:
    """The rows with a `reason`: null for a valid one."""
    reason = F.lit(None).cast("string")
    for name, broken in reversed(rules):
        reason = F.when(F.coalesce(broken, F.lit(False)), F.lit(name)).otherwise(reason)
    return df.withColumn(c.REASON, reason)


def quarantined(df: DataFrame, source: str, left_out: tuple[str, ...] = ()) -> DataFrame:
    """The judged rows with a reason in the form of the quarantine table. Columns in `left_out` are not shown.

    Equal broken rows keep their number: the n-th of them has a key of its own, whichever file it came from.
    """
    shown = [name for name in df.columns if name not in {c.REASON, c.FILE, c.LANDING_DATE, *left_out}]
    rows = df.where(F.col(c.REASON).isNotNull()).select(
        F.lit(source).alias(c.SOURCE_TABLE), c.LANDING_DATE, c.REASON, c.FILE, F.to_json(F.struct(*shown)).alias(c.ROW)
    )
    same = [c.SOURCE_TABLE, c.LANDING_DATE, c.REASON, c.ROW]
    nth = F.row_number().over(Window.partitionBy(*same).orderBy(c.FILE))
    body = F.concat_ws("|", *[F.col(name).cast("string") for name in same], nth.cast("string"))
    return rows.withColumn(c.ROW_HASH, F.sha2(body, 256))


def _id_rules(column: str, expect: Expectations) -> list[Rule]:
    value = F.col(column)
    bad = ~value.rlike(r"^-?[0-9]{1,19}$") | value.try_cast("bigint").isNull()
    missing = (f"null_{column}", value.isNull() | (F.trim(value) == ""))
    return [missing, (f"bad_{column}", bad)] if expect.integer_ids else [missing]


def _last_second(expect: Expectations) -> Column:
    after = start_of_day(F.date_add(F.col(c.LANDING_DATE), 1), expect.timezone)
    return F.unix_seconds(after) + expect.future_tolerance_seconds


def unreadable(column: str) -> Column:
    """True of an event whose cell in this column was filled and could not be read."""
    texts = F.concat_ws("; ", F.col(c.CONTEXT)[RAW], F.col(c.CONTEXT)[UNREAD])
    raw = F.coalesce(texts.rlike(rf"(^|; ){column}="), F.lit(False))
    return raw | F.coalesce(_not_finite(column), F.lit(False)) if column == c.VALUE else raw


def without_raw(df: DataFrame) -> DataFrame:
    """Events without the texts of unreadable cells: under hashing such a text may hold the id that is to be hidden."""
    kept = F.map_filter(F.col(c.CONTEXT), lambda key, _: ~key.isin(RAW, UNREAD))
    return df.withColumn(c.CONTEXT, kept)


def column_of(reason: str) -> str:
    """The column a reason describes: `bad_user_id` of `user_id`."""
    return OTHER_COLUMNS.get(reason, reason.split("_", 1)[-1])


def _not_finite(column: str) -> Column:
    return F.isnan(column) | (F.abs(F.col(column)) == float("inf"))
