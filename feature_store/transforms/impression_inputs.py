"""What a click ranker reads of a row: fields as text, numbers, codes of both, and the user's past events beside it."""

from collections.abc import Mapping, Sequence
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import PREFIXES
from nightrank.feature_store.contracts.impression_settings import ATTRIBUTE_PREFIX, CONTEXT_PREFIX
from nightrank.feature_store.transforms.item_inputs import log_price

KNOWN: Final = "known"
"""Events of the user's history that were available by then."""
LOG_HISTORY: Final = "log_history"
VALUES: Final = "values"
RAW: Final = "_raw"
AVAILABLE: Final = "available"
ROWS: Final = "rows"
_EVENTS: Final = "events"


def described(
    rows: DataFrame, items: DataFrame, fields: Sequence[str], numeric: Sequence[str], timezone: str | None
) -> DataFrame:
    """`rows` with `fields` (texts) and `numeric` (numbers), null where not known by then; `context` and `position` go, and
    `attributes` and `known_from` where rows have them. Numbers that are counted of events stay null until `with_numbers`.

    Of an item only what was available by the row's time is said: the newest description, or nothing. Without a `timezone` the
    times are positions, and no row has an hour or a weekday.
    """
    about = items.select(
        c.ITEM_ID, F.col(c.CATEGORIES)[0].alias("_category"), log_price().alias("_price"),
        F.unix_micros(c.AVAILABILITY_TIME).alias("_since"),
        F.unix_micros(F.coalesce(c.PRICED, c.AVAILABILITY_TIME)).alias("_priced"),
    )  # fmt: skip
    joined = rows.join(about, c.ITEM_ID, "left")
    known = F.col("_since") <= F.col(c.EVENT_TIME)
    local = F.lit(None).cast("timestamp")
    if timezone is not None:
        local = F.from_utc_timestamp(F.timestamp_micros(c.EVENT_TIME), timezone)
    sources = {
        "user": F.col(c.USER_ID),
        "item": F.col(c.ITEM_ID),
        "category": F.when(known, F.col("_category")),
        "hour": F.hour(local),
        "weekday": F.weekday(local),
        "position": F.col(c.POSITION),
        "position_number": F.col(c.POSITION),
        "log_price": F.when(F.col("_priced") <= F.col(c.EVENT_TIME), F.col("_price")),
        LOG_HISTORY: F.lit(None),
    }
    texts = [_source(name, sources).cast("string") for name in fields]
    numbers = [_finite(_source(name, sources).try_cast("float")) for name in numeric]
    return joined.withColumns(
        {c.FIELDS: F.array(*texts), c.NUMERIC: F.array(*numbers).cast("array<float>")}
    ).drop(c.CONTEXT, c.POSITION, c.ATTRIBUTES, c.KNOWN_FROM, "_category", "_price", "_since", "_priced")  # fmt: skip


def _finite(number: Column) -> Column:
    """`Infinity` is a number to Spark; a ranker treats it as missing."""
    return F.when(~F.isnan(number) & (F.abs(number) != float("inf")), number)


def _source(name: str, sources: dict[str, Column]) -> Column:
    if name.startswith(CONTEXT_PREFIX):
        return F.col(c.CONTEXT)[name.removeprefix(CONTEXT_PREFIX)]
    if name.startswith(ATTRIBUTE_PREFIX):
        return F.when(F.col(c.KNOWN_FROM) <= F.col(c.EVENT_TIME), F.col(c.ATTRIBUTES)[name.removeprefix(ATTRIBUTE_PREFIX)])
    if name.startswith(tuple(PREFIXES.values())):
        return F.lit(None)
    return sources[name]


def code_table(train: DataFrame, fields: Sequence[str], least_rows: int, most_values: int) -> DataFrame:
    """IMPRESSION_CODES: codes from 1 in order of the text, for each field's most frequent values."""
    named = F.explode(F.arrays_zip(F.array(*map(F.lit, fields)).alias(c.FIELD), F.col(c.FIELDS).alias(c.RAW_ID)))
    pairs = train.select(named.alias("_pair")).select(f"_pair.{c.FIELD}", f"_pair.{c.RAW_ID}")
    counted = pairs.where(F.col(c.RAW_ID).isNotNull()).groupBy(c.FIELD, c.RAW_ID).count()
    frequent = Window.partitionBy(c.FIELD).orderBy(F.desc("count"), c.RAW_ID)
    kept = counted.where(F.col("count") >= least_rows).withColumn("_nth", F.row_number().over(frequent))
    in_order = Window.partitionBy(c.FIELD).orderBy(c.RAW_ID)
    return kept.where(F.col("_nth") <= most_values).select(c.FIELD, c.RAW_ID, F.row_number().over(in_order).alias(c.DENSE_ID))


def coded(rows: DataFrame, codes: DataFrame, fields: Sequence[str]) -> DataFrame:
    """`rows` with `codes` for `fields`: 0 where a value has none."""
    for place, name in enumerate(fields):
        of_field = codes.where(F.col(c.FIELD) == F.lit(name)).select(
            F.col(c.RAW_ID).alias("_raw"), F.col(c.DENSE_ID).alias(f"_code{place}")
        )
        rows = rows.join(of_field, F.col(c.FIELDS)[place] == F.col("_raw"), "left").drop("_raw")
    found = [F.coalesce(F.col(f"_code{place}"), F.lit(0)) for place in range(len(fields))]
    return rows.withColumn(c.CODES, F.array(*found)).drop(c.FIELDS, *[f"_code{place}" for place in range(len(fields))])


def with_events(rows: DataFrame, history: DataFrame) -> DataFrame:
    """One row a user of `rows`: `rows` (all of theirs, with every column), and of `history` (user, event_time, event_id,
    availability_time, `values`) the sorted `times`, `values` and `available`."""
    grouped = rows.groupBy(c.USER).agg(F.collect_list(F.struct("*")).alias(ROWS))
    event = F.struct(c.EVENT_TIME, c.EVENT_ID, VALUES, c.AVAILABILITY_TIME)
    past = history.groupBy(c.USER).agg(F.sort_array(F.collect_list(event)).alias(_EVENTS))
    empty = F.array()
    names = {c.TIMES: c.EVENT_TIME, VALUES: VALUES, AVAILABLE: c.AVAILABILITY_TIME}
    kinds = {name: history.schema[source].dataType for name, source in names.items()}
    columns = [
        F.coalesce(F.col(f"{_EVENTS}.{source}"), empty.cast(f"array<{kinds[name].simpleString()}>")).alias(name)
        for name, source in names.items()
    ]
    return grouped.join(past, c.USER, "left").select(ROWS, *columns)


def with_history_count(rows: DataFrame, numeric: Sequence[str]) -> DataFrame:
    """`numeric` with log(1 + known) where `log_history` stands; `known` goes."""
    return with_numbers(rows, numeric, {LOG_HISTORY: F.log1p(KNOWN)}).drop(KNOWN)


def with_numbers(rows: DataFrame, numeric: Sequence[str], found: Mapping[str, Column]) -> DataFrame:
    """`numeric` with the columns of `found` in the places of their names."""
    numbers = [found.get(name, F.col(c.NUMERIC)[place]) for place, name in enumerate(numeric)]
    return rows.withColumn(c.NUMERIC, F.array(*numbers).cast("array<float>"))


def moments(train: DataFrame, numeric: Sequence[str]) -> DataFrame:
    """One row: `mean` and `std` of each number over the rows that know it, null where none does."""
    numbers = [F.col(c.NUMERIC)[place] for place in range(len(numeric))]
    return train.select(
        F.array(*[F.mean(number) for number in numbers]).alias("mean"),
        F.array(*[F.stddev_pop(number) for number in numbers]).alias("std"),
    )
