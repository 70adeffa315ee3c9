"""Counts by action and window, and how long ago: what user and item features share."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_NAMES
from nightrank.feature_store.transforms.calendar import end_of

DAY_SECONDS: Final = 86_400
BY_ACTION: Final = "by_action"


@dataclass(frozen=True)
class AsOf:
    """The moment features are taken at: the end of `day`. Windows are whole days that end with it; none without a clock."""

    day: date
    timezone: str
    windows: tuple[int, ...]

    @property
    def has_clock(self) -> bool:
        return bool(self.windows)

    def known(self, interactions: DataFrame) -> DataFrame:
        """Interactions that had happened and were available before the day ended."""
        end = F.unix_micros(end_of(self.day, self.timezone))
        return interactions.where((F.col(c.AVAILABILITY_TIME) < end) & (F.col(c.EVENT_TIME) < end))

    def inside(self, window: int) -> Column:
        """True of an interaction of the last `window` days, the day itself included."""
        return F.col(c.EVENT_DATE) > F.date_sub(F.lit(self.day), window)

    def days_since(self, instant: Column) -> Column:
        """Days from a timestamp to the end of the day."""
        seconds = F.unix_micros(end_of(self.day, self.timezone)) - F.unix_micros(instant)
        return seconds / F.lit(1e6 * DAY_SECONDS)


def totals(as_of: AsOf) -> dict[str, Column]:
    """Aggregates `count_all`, `count_1d`, `count_7d` … over known interactions of any action."""
    return {f"count_{span}": F.count_if(inside) for span, inside in _spans(as_of).items()}


def counts_by_action(known: DataFrame, key: str, as_of: AsOf) -> DataFrame:
    """`key`, `by_action`: `count_purchase_all`, `count_purchase_7d` …; what did not happen has no entry.

    Grouped by action and folded into one map: an aggregate per action and window made plans that took longer than the data.
    """
    spans = _spans(as_of)
    names = F.create_map(*[F.lit(part) for pair in ACTION_NAMES.items() for part in pair])
    counted = known.groupBy(key, c.ACTION).agg(*[F.count_if(inside).alias(span) for span, inside in spans.items()])
    entries = F.array(
        *[
            F.struct(
                F.concat_ws("_", F.lit("count"), names[F.col(c.ACTION)], F.lit(span)), F.col(span).cast("double").alias("n")
            )
            for span in spans
        ]
    )
    happened = F.filter(entries, lambda entry: entry["n"] > 0)
    folded = F.map_from_entries(F.sort_array(F.flatten(F.collect_list(happened))))
    return counted.groupBy(key).agg(folded.alias(BY_ACTION))


def _spans(as_of: AsOf) -> dict[str, Column]:
    return {"all": F.lit(True)} | {f"{window}d": as_of.inside(window) for window in as_of.windows}


def stamps() -> list[Column]:
    """The newest event time and availability time that went in, as timestamps."""
    return [F.timestamp_micros(F.max(name)).alias(name) for name in (c.EVENT_TIME, c.AVAILABILITY_TIME)]


def as_map(values: dict[str, Column]) -> Column:
    """name -> double with the counts by action; a value that is missing has no entry."""
    pairs = [part for name in sorted(values) for part in (F.lit(name), values[name].cast("double"))]
    present = F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
    return F.map_concat(present, F.coalesce(BY_ACTION, F.create_map().cast("map<string,double>")))
