"""Impressions with what the user did after them, and the split each row belongs to by its time."""

from datetime import date, timedelta
from typing import Final, NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from nightrank.feature_store.contracts import columns as c

KEPT: Final = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.EVENT_TIME, c.AVAILABILITY_TIME, c.EVENT_DATE, c.POSITION, c.CONTEXT)
"""What of an event an impression keeps; times become microseconds."""
_IS_ANSWER: Final = "_is_answer"
_OWNER: Final = "_owner"
_EVENT: Final = "_event"


class Cuts(NamedTuple):
    """Where splits begin, in microseconds. `window` is how long an answer may take; `end` the first moment not known."""

    valid_from: int
    test_from: int
    end: int
    window: int


def labelled(events: DataFrame, *, shown: tuple[str, ...], labels: tuple[str, ...], window: int | None) -> DataFrame:
    """One row an impression: KEPT and `labels`, 1 where that action followed within `window` microseconds (None: ever), else 0.

    An answer belongs to the user's last impression of the item at or before it: of the same list where the answer names one.
    """
    kept = events.where(F.col(c.ACTION).isin([*shown, *labels])).select(
        *[_micros(name) for name in KEPT], c.ACTION, c.LIST_ID, F.col(c.ACTION).isin(list(labels)).alias(_IS_ANSWER)
    )
    event = F.when(~F.col(_IS_ANSWER), F.struct(c.EVENT_ID, c.EVENT_TIME))
    of_list = F.last(event, ignorenulls=True).over(_up_to_here(c.USER_ID, c.ITEM_ID, c.LIST_ID))
    of_any = F.last(event, ignorenulls=True).over(_up_to_here(c.USER_ID, c.ITEM_ID))
    owned = kept.withColumn(_OWNER, F.when(F.col(c.LIST_ID).isNull() & F.col(_IS_ANSWER), of_any).otherwise(of_list))
    whole = F.first(F.when(~F.col(_IS_ANSWER), F.struct(*KEPT)), ignorenulls=True)
    answers = [F.max((_answers(label, window)).cast("float")) for label in labels]
    rows = owned.where(F.col(_OWNER).isNotNull()).groupBy(c.USER_ID, c.ITEM_ID, F.col(f"{_OWNER}.{c.EVENT_ID}").alias("_id"))
    return rows.agg(whole.alias(_EVENT), F.array(*answers).alias(c.LABELS)).select(f"{_EVENT}.*", c.LABELS)


def split_of(cuts: Cuts) -> Column:
    """train, valid or test; null for a row whose time for an answer runs past the end of its split."""
    shown, answered = F.col(c.EVENT_TIME), F.col(c.EVENT_TIME) + F.lit(cuts.window)
    return (
        F.when(answered < F.lit(cuts.valid_from), F.lit("train"))
        .when((shown >= F.lit(cuts.valid_from)) & (answered < F.lit(cuts.test_from)), F.lit("valid"))
        .when((shown >= F.lit(cuts.test_from)) & (answered < F.lit(cuts.end)), F.lit("test"))
    )


def since(day: date, days: int) -> Column:
    """True of events of the `days` days that end with `day`."""
    return F.col(c.EVENT_DATE) > F.lit(day - timedelta(days=days))


def _micros(name: str) -> Column:
    return F.unix_micros(name).alias(name) if name in (c.EVENT_TIME, c.AVAILABILITY_TIME) else F.col(name)


def _up_to_here(*keys: str) -> WindowSpec:
    # An impression and its click may have the same time: the impression comes first.
    order = Window.partitionBy(*keys).orderBy(c.EVENT_TIME, _IS_ANSWER, c.EVENT_ID)
    return order.rowsBetween(Window.unboundedPreceding, Window.currentRow)


def _answers(label: str, window: int | None) -> Column:
    is_it = F.col(c.ACTION) == F.lit(label)
    if window is None:
        return is_it
    return is_it & (F.col(c.EVENT_TIME) - F.col(f"{_OWNER}.{c.EVENT_TIME}") <= F.lit(window))
