"""Interactions into one row per user: sorted parallel arrays, ready for the row builder."""

from collections.abc import Collection, Mapping
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.days import day_start

FRESH = "fresh"
TODAY = "today"
REPLAY = "replay"
_EVENTS = "events"
_TAKEN_BACK = "_taken_back"
_LATE = "_late"


def known_by(day: date, timezone: str) -> Column:
    """True for what happened, landed and was available by the end of `day`."""
    end = day_start(day + timedelta(days=1), timezone)
    on_time = (F.col(c.EVENT_DATE) <= F.lit(day)) & (F.col(c.LANDING_DATE) <= F.lit(day))
    return on_time & (F.col(c.AVAILABILITY_TIME) < F.lit(end))


def known_interactions(
    interactions: DataFrame,
    *,
    day: date,
    timezone: str,
    actions: tuple[str, ...],
    learnt: date | None = None,
    folded: Collection[date] = (),
    late: DataFrame | None = None,
    against: tuple[str, ...] = (),
    weights: Mapping[str, float] | None = None,
) -> DataFrame:
    """Interactions with one of the actions that are known by the end of `day`; `fresh` are those that were not by the end of
    `learnt` (the day before where it is None, or is not before `day`), those that landed on a `folded` day, and those among
    the rows `late`.

    `weight` is that of the action, 1 where `weights` do not name it, and 0 for what the user took back: events on an item up to
    the user's last action `against` it that is known by then.
    """
    codes = [ACTION_CODES[name] for name in actions]
    known = interactions.where(known_by(day, timezone))
    weighed = _weighed(known, codes, [ACTION_CODES[name] for name in against], weights or {})
    fresh = _is_fresh(day, timezone, learnt, folded)
    if late is not None:
        marked = late.select(c.EVENT_ID).distinct().withColumn(_LATE, F.lit(True))
        weighed = weighed.join(F.broadcast(marked), c.EVENT_ID, "left")
        fresh = fresh | F.col(_LATE).isNotNull()
    return weighed.withColumn(FRESH, fresh).drop(_LATE).withColumn(TODAY, F.col(c.EVENT_DATE) == F.lit(day))


def fresh_interactions(
    interactions: DataFrame,
    *,
    day: date,
    timezone: str,
    actions: tuple[str, ...],
    learnt: date | None = None,
    folded: Collection[date] = (),
    late: DataFrame | None = None,
) -> DataFrame:
    """The interactions that `known_interactions` calls fresh, and their columns alone: files without one are not read."""
    wanted = known_by(day, timezone) & F.col(c.ACTION).isin([ACTION_CODES[name] for name in actions])
    fresh = _is_fresh(day, timezone, learnt, folded)
    found = interactions.where(wanted & fresh)
    return found if late is None else found.unionByName(late.where(wanted & ~fresh))


def _is_fresh(day: date, timezone: str, learnt: date | None, folded: Collection[date]) -> Column:
    """Of what is known by the day: the champion was trained without it."""
    fresh = ~known_by(_since(day, learnt), timezone)
    return fresh | F.col(c.LANDING_DATE).isin(sorted(folded)) if folded else fresh


def _since(day: date, learnt: date | None) -> date:
    yesterday = day - timedelta(days=1)
    return yesterday if learnt is None else min(learnt, yesterday)


def _weighed(known: DataFrame, codes: list[int], against: list[int], weights: Mapping[str, float]) -> DataFrame:
    """The rows with one of the codes, with their weight."""
    kept, weight = known.where(F.col(c.ACTION).isin(codes)), F.lit(1.0)
    for name, value in sorted(weights.items()):
        weight = F.when(F.col(c.ACTION) == ACTION_CODES[name], F.lit(value)).otherwise(weight)
    if not against:
        return kept.withColumn(c.WEIGHT, weight.cast("float"))
    taken_back = known.where(F.col(c.ACTION).isin(against)).groupBy(c.USER, c.ITEM).agg(F.max(c.EVENT_TIME).alias(_TAKEN_BACK))
    weight = F.when(F.col(c.EVENT_TIME) <= F.col(_TAKEN_BACK), F.lit(0.0)).otherwise(weight)
    return kept.join(taken_back, [c.USER, c.ITEM], "left").withColumn(c.WEIGHT, weight.cast("float")).drop(_TAKEN_BACK)


def user_sequences(known: DataFrame) -> DataFrame:
    """One row a user: items, actions, times, availability times, fresh, today, weight and, where `known` has it, replay, sorted
    by (event time, event id)."""
    chosen = (REPLAY,) if REPLAY in known.columns else ()
    fields = (c.EVENT_TIME, c.EVENT_ID, c.ITEM, c.ACTION, c.AVAILABILITY_TIME, FRESH, TODAY, c.WEIGHT, *chosen)
    event = F.struct(*[F.col(name) for name in fields])
    names = {c.ITEM: c.ITEMS, c.ACTION: c.ACTIONS, c.EVENT_TIME: c.TIMES}
    kept = (c.ITEM, c.ACTION, c.EVENT_TIME, c.AVAILABILITY_TIME, FRESH, TODAY, c.WEIGHT, *chosen)
    return (
        known.groupBy(c.USER)
        .agg(F.sort_array(F.collect_list(event)).alias(_EVENTS))
        .select(c.USER, *[F.col(f"{_EVENTS}.{name}").alias(names.get(name, name)) for name in kept])
    )
