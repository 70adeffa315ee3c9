"""The catalogue as it changes: each item by the newest word on each field, and the items that may not be recommended."""

from datetime import date
from functools import reduce
from operator import and_
from typing import Final

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.transforms.calendar import end_of, start_of_day

DESCRIBING: Final = (c.TITLE, c.TEXT, c.CATEGORIES, c.CREATED)
CONTENT: Final = (*DESCRIBING, c.PRICE, c.AVAILABLE)
PASSING: Final = (c.PRICE, c.AVAILABLE, c.NUMBERS)
"""Fields that a refresh changes on their own: a row that describes nothing else does not put an item on the list."""
UNAVAILABLE: Final = "unavailable"
VANISHED: Final = "vanished"
NUMBERED: Final = r"-([0-9]{6})-[0-9a-f]+\.parquet$"
_MARK, _ORDER = "_mark", "_order"


def items(landed: DataFrame, stored: DataFrame, *, timezone: str) -> DataFrame:
    """Rows of the table for every landed item. A field has the value of the newest row that describes it, stored or landed:
    by availability, landing day and number of the file. A stub gives way to anything. A price that is not a number is null.
    Each of the `numbers` is such a field.

    `availability_time` and `landing_date` say since when its description is as it is now, `priced` since when its price is:
    to hear the same again moves neither.
    """
    rows = _landed_rows(landed, timezone)
    before = _stored_rows(stored).join(rows.select(c.ITEM_ID).distinct(), c.ITEM_ID, "left_semi")
    both = before.unionByName(rows, allowMissingColumns=True)
    mine = Window.partitionBy(c.ITEM_ID)
    now = {name: F.max_by(name, F.when(_speaks_of(name), F.col(_ORDER))).over(mine) for name in CONTENT}
    both = both.withColumns({f"_{name}": value for name, value in now.items()})
    described, priced = (_since(names, mine) for names in (DESCRIBING, (c.PRICE,)))
    both = both.withColumns({"_described": described, "_priced": priced, "_numbers": _numbers_now(mine)})
    return both.groupBy(c.ITEM_ID).agg(
        *[F.first(f"_{name}").alias(name) for name in (*CONTENT, c.NUMBERS)],
        *[F.min_by(name, "_described").alias(name) for name in (c.AVAILABILITY_TIME, c.LANDING_DATE)],
        F.min_by(F.coalesce(c.PRICED, c.AVAILABILITY_TIME), "_priced").alias(c.PRICED),
        *[F.max(name).alias(name) for name in (c.LISTED, c.COMPLETE)],
        F.min(c.FIRST_LANDED).alias(c.FIRST_LANDED),
    )


def _since(names: tuple[str, ...], mine: WindowSpec) -> Column:
    """The order of a row from which on every row says of these fields what holds now; null of the rows before."""
    agrees = [~_speaks_of(name) | F.col(name).eqNullSafe(F.col(f"_{name}")) for name in names]
    other = F.max(F.when(~reduce(and_, agrees), F.col(_ORDER))).over(mine)
    return F.when(other.isNull() | (F.col(_ORDER) > other), F.col(_ORDER))


def _numbers_now(mine: WindowSpec) -> Column:
    """{name: number} by the newest row that holds the name; a null there takes it away."""
    held = F.struct(F.col(_ORDER).alias("order"), F.map_entries(c.NUMBERS).alias("entries"))
    rows = F.array_sort(F.collect_list(F.when(F.col(c.NUMBERS).isNotNull(), held)).over(mine))
    none = F.map_from_arrays(F.array().cast("array<string>"), F.array().cast("array<double>"))
    merged = F.aggregate(rows, none, lambda known, row: _updated(known, row["entries"]))
    numbers = F.map_filter(merged, lambda _, value: value.isNotNull())
    return F.when(F.size(numbers) > 0, numbers)


def _updated(known: Column, entries: Column) -> Column:
    names = F.transform(entries, lambda entry: entry["key"])
    others = F.map_filter(known, lambda name, _: ~F.array_contains(names, name))
    return F.map_concat(others, F.map_from_entries(entries))


def known_items(table: DataFrame, day: date, timezone: str) -> DataFrame:
    """Items that had landed and were available by the end of the day. What changed of them since is not undone."""
    landed = F.coalesce(c.FIRST_LANDED, c.LANDING_DATE) <= F.lit(day)
    available = (F.col(c.AVAILABILITY_TIME) < end_of(day, timezone)) | (F.col(c.LANDING_DATE) > F.lit(day))
    return table.where(landed & available)


def hidden_items(table: DataFrame) -> DataFrame:
    """`item_id`, `reason` of items that are not to be recommended: the catalogue says so (`unavailable`), or the newest
    complete export does not hold them and nothing has described them since (`vanished`)."""
    newest = F.broadcast(table.agg(F.max(c.COMPLETE).alias("_newest")))
    gone = F.col("_newest").isNotNull() & F.coalesce(F.col(c.LISTED) < F.col("_newest"), F.lit(True))
    off = ~F.coalesce(c.AVAILABLE, F.lit(True))
    reason = F.when(off, F.lit(UNAVAILABLE)).when(gone, F.lit(VANISHED))
    return table.crossJoin(newest).select(c.ITEM_ID, reason.alias(c.REASON)).where(F.col(c.REASON).isNotNull())


def _landed_rows(landed: DataFrame, timezone: str) -> DataFrame:
    price = F.col(c.PRICE)
    number = F.coalesce(F.nullif(F.regexp_extract(c.FILE, NUMBERED, 1), F.lit("")), F.lit("000000"))
    mark = F.concat_ws("#", F.col(c.LANDING_DATE).cast("string"), number)
    passing = (F.size(c.FIELDS) > 0) & F.forall(c.FIELDS, lambda name: name.isin(*PASSING))
    complete = F.coalesce(c.COMPLETE, F.lit(False))
    listed = complete | ~F.coalesce(passing, F.lit(False))
    rows = landed.withColumns(
        {
            c.PRICE: F.when(_finite(price), price),
            c.NUMBERS: F.transform_values(c.NUMBERS, lambda _, value: F.when(_finite(value), value)),
            c.AVAILABILITY_TIME: F.coalesce(c.AVAILABILITY_TIME, start_of_day(F.col(c.LANDING_DATE), timezone)),
            c.FIRST_LANDED: F.col(c.LANDING_DATE),
            _MARK: mark,
            c.LISTED: F.when(listed, mark),
        }
    )
    rows = rows.withColumn(c.COMPLETE, F.when(complete, F.col(_MARK)))
    return rows.withColumn(_ORDER, _order(real=F.lit(1), stored=0)).drop(c.FILE)


def _finite(number: Column) -> Column:
    return ~(F.isnan(number) | (F.abs(number) == float("inf")))


def _stored_rows(stored: DataFrame) -> DataFrame:
    """Stored rows set all fields they have; of equal times a landed row is the newer."""
    rows = stored.withColumns({_MARK: F.lit(""), c.FIELDS: F.lit(None).cast("array<string>")})
    rows = rows.withColumn(c.FIRST_LANDED, F.coalesce(c.FIRST_LANDED, c.LANDING_DATE))
    return rows.withColumn(_ORDER, _order(real=F.when(is_stub(), 0).otherwise(1), stored=1))


def _order(*, real: Column, stored: int) -> Column:
    ties = [F.col(name) for name in (c.TITLE, c.TEXT, c.PRICE)]
    landed = F.lit(1 - stored).alias("landed")
    return F.struct(real.alias("real"), c.AVAILABILITY_TIME, c.LANDING_DATE, landed, _MARK, *ties)


def _speaks_of(name: str) -> Column:
    return F.coalesce(F.array_contains(c.FIELDS, name), F.lit(True))


def stubs(events: DataFrame, known: DataFrame) -> DataFrame:
    """An item that only events describe, with nothing but its id and the time it was first heard of."""
    unknown = events.join(known.select(c.ITEM_ID).distinct(), c.ITEM_ID, "left_anti")
    first = unknown.groupBy(c.ITEM_ID).agg(
        F.min(c.AVAILABILITY_TIME).alias(c.AVAILABILITY_TIME), F.min(c.LANDING_DATE).alias(c.LANDING_DATE)
    )
    empty = {
        c.TITLE: "string",
        c.TEXT: "string",
        c.CATEGORIES: "array<string>",
        c.PRICE: "double",
        c.CREATED: "timestamp",
        c.AVAILABLE: "boolean",
        c.LISTED: "string",
        c.COMPLETE: "string",
        c.PRICED: "timestamp",
        c.NUMBERS: "map<string,double>",
    }
    nothing = {name: F.lit(None).cast(kind) for name, kind in empty.items()}
    return first.withColumns({**nothing, c.FIRST_LANDED: F.col(c.LANDING_DATE)})


def is_stub() -> Column:
    """True of an item that has nothing but its id."""
    given = [F.col(name).isNotNull() for name in (*CONTENT, c.NUMBERS, c.LISTED)]
    return ~F.coalesce(F.greatest(*given), F.lit(False))
