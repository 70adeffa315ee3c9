"""Landed days of a simulated market without a lake, and the ways in which one of them can be broken. Arrow only."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.guards.profile import Profile, profile_of
from nightrank.pipeline.simulate import catalogue, population
from nightrank.pipeline.simulate.config import market
from nightrank.pipeline.simulate.faults import Arrivals, deliver
from nightrank.pipeline.simulate.journal import events
from nightrank.pipeline.simulate.sessions import visits

Fault = Callable[[pa.Table, np.random.Generator], pa.Table]


def landed_days(seed: int, preset: str, days: int) -> dict[date, pa.Table]:
    """LANDING_EVENTS by landing day, as `simulate` writes them."""
    config = market(preset, {"seed": seed, "days": days})
    goods, waiting = catalogue.build(config), Arrivals()
    found = {}
    for today in population.days(config):
        users, day = today.truth(config), config.start + timedelta(days=today.day)
        seen = visits(config, today, users, goods.truth)
        happened = events(config, today.day, seen, users, goods.truth, goods.landing.column(c.PRICE).to_numpy())
        for landing, tables in deliver(config, today.day, happened)[0].items():
            waiting.setdefault(landing, []).extend(tables)
        found[day] = pa.concat_tables(waiting.pop(day)).combine_chunks()
    return found


def profile(day: date, table: pa.Table) -> Profile:
    return profile_of(table.to_batches(max_chunksize=1000), rows=len(table), day=day, timezone="UTC")


def unknown_share(table: pa.Table, before: Mapping[date, pa.Table]) -> float:
    """Share of the events on items that came on none of the days before."""
    known = pc.unique(pa.concat_tables(before.values()).column(c.ITEM_ID))
    items = table.column(c.ITEM_ID).drop_null()
    return 1 - float(pc.mean(pc.is_in(items, value_set=known)).as_py())


def ten_times_from_one_user(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    rows = table.take(pa.array(rng.integers(len(table), size=9 * len(table))))
    return pa.concat_tables([table, replaced(rows, c.USER_ID, pa.array(["bot"] * len(rows)))])


def labels_shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Every user gets the items of others: each column alone is what it was."""
    return replaced(table, c.ITEM_ID, table.column(c.ITEM_ID).take(pa.array(rng.permutation(len(table)))))


def actions_shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return replaced(table, c.ACTION, table.column(c.ACTION).take(pa.array(rng.permutation(len(table)))))


def half_the_catalogue_missing(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    items = pc.unique(table.column(c.ITEM_ID)).to_pylist()
    kept = rng.permutation(len(items))[: len(items) // 2]
    return table.filter(pc.is_in(table.column(c.ITEM_ID), value_set=pa.array([items[place] for place in kept])))


def clock_skew(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """A zone taken for another, five to eleven hours to either side."""
    hours = int(rng.integers(5, 12)) * int(rng.choice([-1, 1]))
    return replaced(table, c.EVENT_TIME, pc.add(table.column(c.EVENT_TIME), pa.scalar(timedelta(hours=hours))))


def columns_swapped(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    users, items = table.column(c.USER_ID), table.column(c.ITEM_ID)
    return replaced(replaced(table, c.USER_ID, items), c.ITEM_ID, users)


def value_and_propensity_swapped(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    value, propensity = table.column(c.VALUE), table.column(c.PROPENSITY)
    return replaced(replaced(table, c.VALUE, propensity), c.PROPENSITY, value)


def feed_cut_at_noon(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """What came after the morning never arrived."""
    return table.filter(pc.less(pc.hour(table.column(c.EVENT_TIME)), 12))


def a_default_user(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """A third of the ids were not resolved and became one default."""
    lost = pa.array(rng.random(len(table)) < 1 / 3)
    return replaced(table, c.USER_ID, pc.if_else(lost, "0", table.column(c.USER_ID)))


def values_in_cents(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return replaced(table, c.VALUE, pc.multiply(table.column(c.VALUE), 100.0))


NAMED: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        ten_times_from_one_user,
        labels_shuffled,
        actions_shuffled,
        half_the_catalogue_missing,
        clock_skew,
        columns_swapped,
        value_and_propensity_swapped,
        feed_cut_at_noon,
        a_default_user,
        values_in_cents,
    )
}
"""The guards were made and their thresholds set on these, with seeds below 200."""


def every_event_twice(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """A feed that was sent again under other event ids."""
    return pa.concat_tables([table, table])


def items_of_another_shop(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Half of the events are of a shop whose ids nobody here knows."""
    other = pa.array(rng.random(len(table)) < 1 / 2)
    ids = pc.binary_join_element_wise("other-", table.column(c.ITEM_ID), "")
    return replaced(table, c.ITEM_ID, pc.if_else(other, ids, table.column(c.ITEM_ID)))


def yesterday_again(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The day's file has the dates of the day before."""
    return replaced(table, c.EVENT_TIME, pc.subtract(table.column(c.EVENT_TIME), pa.scalar(timedelta(days=1))))


def one_action(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The shop stopped to say what its users did."""
    return replaced(table, c.ACTION, pa.array(["view"] * len(table)))


UNSEEN: dict[str, Fault] = {
    fault.__name__: fault for fault in (every_event_twice, items_of_another_shop, yesterday_again, one_action)
}
"""These were looked at only after the thresholds were fixed."""


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values).cast(schemas.LANDING_EVENTS)
