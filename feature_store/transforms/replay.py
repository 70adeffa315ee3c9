"""What a night replays: users by a uniform draw that depends on (seed, user, date) alone, or single past events.

An event has a priority, uniform in [0, 1), that depends on (seed, event) alone and is the same every night. What is chosen is
therefore a function of what is known by the day: nothing is kept between nights, and what is erased or comes late is at once
out or in. `feature_store.replay_choice` says the same in numpy.
"""

from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.transforms.sequences import FRESH, REPLAY

_PARTS: Final = 1_000_000
_FINE: Final = 1 << 40
_PRIORITY, _COUNT, _QUOTA, _PLACE, _LIMIT = "_priority", "_count", "_quota", "_place", "_limit"


def replayed(*, seed: int, day: date, fraction: float) -> Column:
    """True for about `fraction` of the users, others every night; independent of who is held out."""
    draw = F.pmod(F.xxhash64(F.lit("replay"), F.lit(seed), F.col(c.RAW_ID), F.lit(day.isoformat())), F.lit(_PARTS))
    return draw < F.lit(round(fraction * _PARTS))


def is_past_label() -> Column:
    """Of `known_interactions`: the champion may have learnt it."""
    return ~F.col(FRESH) & (F.col(c.WEIGHT) > 0)


def reservoir(known: DataFrame, *, seed: int, events: int, past: int) -> DataFrame:
    """`known` with `replay`: true for about `events` of the `past` labels, each as likely as any other.

    A label stays while its priority is below events / past. As past grows, a label of today enters with that probability and
    those that leave never return: the members of a reservoir (Vitter 1985, algorithm R), but for its size, which is binomial.
    """
    chosen = is_past_label() & (_priority(seed) < F.lit(events / max(past, 1)))
    return known.withColumn(REPLAY, chosen)


def exemplars(known: DataFrame, *, seed: int, events: int, past: int) -> DataFrame:
    """`known` with `replay`: true for about `events` of the `past` labels, of each item in proportion to its frequency (ADER,
    Mi et al. 2020), the lowest priorities of the item.

    An item's share of `events` is rounded up with the probability of what is over, so that of rare items some are there. ADER
    prefers those nearest to the mean state of the item (herding), for which it needs the model; these are its random exemplars.
    """
    labels = known.where(is_past_label()).select(c.ITEM, _priority(seed).alias(_PRIORITY))
    share = F.lit(events / max(past, 1)) * F.col(_COUNT)
    quotas = labels.groupBy(c.ITEM).agg(F.count(F.lit(1)).alias(_COUNT))
    quotas = quotas.withColumn(_QUOTA, F.floor(share + item_draw(seed))).where(F.col(_QUOTA) > 0)
    # Only what may be among the lowest is sorted: twice as many as wanted, and a few.
    near = labels.join(quotas, c.ITEM).where(F.col(_PRIORITY) * F.col(_COUNT) < 2 * F.col(_QUOTA) + 20)
    place = F.row_number().over(Window.partitionBy(c.ITEM).orderBy(_PRIORITY))
    lowest = near.withColumn(_PLACE, place).where(F.col(_PLACE) <= F.col(_QUOTA))
    limits = lowest.groupBy(c.ITEM).agg(F.max(_PRIORITY).alias(_LIMIT))
    chosen = is_past_label() & F.coalesce(_priority(seed) <= F.col(_LIMIT), F.lit(False))
    return known.join(limits, c.ITEM, "left").withColumn(REPLAY, chosen).drop(_LIMIT)


def _priority(seed: int) -> Column:
    return _uniform(F.lit("event"), F.lit(seed), F.col(c.USER), F.col(c.ITEM), F.col(c.EVENT_TIME), F.col(c.EVENT_ID))


def item_draw(seed: int) -> Column:
    """What decides whether an item's share is rounded up."""
    return _uniform(F.lit("item"), F.lit(seed), F.col(c.ITEM))


def _uniform(*keys: Column) -> Column:
    return F.pmod(F.xxhash64(F.lit("replay"), *keys), F.lit(_FINE)) / F.lit(float(_FINE))
