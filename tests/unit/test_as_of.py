"""Aggregates as of a day are what a brute force over the events says, and know nothing of that day or later ones."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.as_of import LONGEST, SCALE, Cumulative, aggregates, from_events, values
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import counters_of, parse
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.days import day_number, days_of

HOUR = 3_600_000_000
ZONE = "Europe/Berlin"
START = datetime(2025, 3, 20, tzinfo=ZoneInfo(ZONE))  # The clock changes on the 30th.
NAMES = ("count_1d", "count_7d", "count_all", "purchase_3d", "view_all", "active_days_4d", "active_days_all", "recency_days",
         "age_days")  # fmt: skip
COUNTERS = counters_of(NAMES)
EVENT = st.tuples(st.integers(1, 4), st.sampled_from(["view", "purchase", "click"]), st.integers(0, 480), st.integers(0, 90))
"""Entity, action, hours since START, hours until it is known."""


def micros(moment):
    return int(moment.timestamp()) * 1_000_000


def table_of(events):
    at = micros(START)
    entity, action, hours, late = (list(each) for each in zip(*events, strict=True)) if events else ([], [], [], [])
    times = at + np.array(hours, np.int64) * HOUR
    codes = np.array([ACTION_CODES[name] for name in action], np.int8)
    return from_events(np.array(entity, np.int32), codes, times, times + np.array(late, np.int64) * HOUR, COUNTERS, ZONE)


def brute(events, entity, day):
    """NAMES by the definition, from local dates."""

    def known(event):
        return datetime.fromtimestamp(START.timestamp() + 3600 * (event[2] + event[3]), ZoneInfo(ZONE)).date()

    mine = [(known(event), event[1]) for event in events if event[0] == entity]
    past = [((day - on).days, action) for on, action in mine if on < day]
    ages = [age for age, _ in past]
    return [
        sum(age <= 1 for age in ages), sum(age <= 7 for age in ages), len(past),
        sum(age <= 3 and action == "purchase" for age, action in past), sum(action == "view" for _, action in past),
        len({age for age in ages if age <= 4}), len(set(ages)), min(ages, default=LONGEST), max(ages, default=0),
    ]  # fmt: skip


def requested(day):
    entities = np.array([3, 1, 5, 2, 4, 0])  # 0 and 5 have no event.
    return entities, np.full(len(entities), day_number(day))


@settings(deadline=None)
@given(st.lists(EVENT, max_size=40), st.integers(-2, 25))
def test_aggregates_are_those_of_a_brute_force(events, after):
    day = START.date() + timedelta(days=after)
    entities, days = requested(day)
    table = table_of(events)
    wanted = np.array([brute(events, entity, day) for entity in entities.tolist()], np.float32)
    np.testing.assert_array_equal(values(table, NAMES, COUNTERS, entities, days), wanted)
    np.testing.assert_allclose(aggregates(table, NAMES, COUNTERS, entities, days), np.log1p(wanted) * SCALE, rtol=1e-6, atol=0)


@settings(deadline=None)
@given(st.lists(EVENT, max_size=30), st.lists(EVENT, max_size=10), st.integers(0, 20))
def test_what_becomes_known_on_the_day_or_later_changes_nothing(events, more, after):
    """`more` happened at any time, and was not known before the day began."""
    day = START.date() + timedelta(days=after)
    begins = (micros(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE))) - micros(START)) // HOUR
    later = [(entity, action, hours, max(late, begins - hours)) for entity, action, hours, late in more]
    entities, days = requested(day)
    before = values(table_of(events), NAMES, COUNTERS, entities, days)
    np.testing.assert_array_equal(values(table_of(events + later), NAMES, COUNTERS, entities, days), before)


def test_an_event_counts_from_the_day_after_it_is_known_on():
    table = table_of([(1, "purchase", 1, 50), (1, "view", 30, 0)])  # Known on the 22nd and the 21st.
    days = np.array([day_number(date(2025, 3, day)) for day in (20, 21, 22, 23, 24)])
    found = values(table, ("count_all", "purchase_3d", "recency_days"), COUNTERS, np.ones(5, np.int64), days)
    assert found.tolist() == [[0, 0, LONGEST], [0, 0, LONGEST], [1, 0, 1], [2, 1, 1], [2, 1, 2]]
    assert values(table, ["count_all"], COUNTERS, np.ones(0, np.int64), np.ones(0, np.int64)).shape == (0, 1)


def test_days_are_those_of_the_zone():
    moments = ["2025-03-29 23:59:59", "2025-03-30 00:00:00", "2025-03-31 00:00:00", "1969-12-31 23:59:59", "2025-10-26 23:00"]
    for zone in ("UTC", ZONE, "America/New_York", "Pacific/Kiritimati"):
        local = [datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)) for moment in moments]
        found = days_of(np.array([micros(moment) for moment in local]), zone)
        assert found.tolist() == [day_number(moment.date()) for moment in local]


def test_names_say_what_is_counted():
    assert parse("count_28d") == ("sum", "count", 28) and parse("purchase_all") == ("sum", "purchase", None)
    assert parse("active_days_7d") == ("active_days", None, 7) and parse("recency_days").kind == "recency"
    assert counters_of(["recency_days", "purchase_7d", "view_1d", "count_1d", "purchase_1d"]) == ("count", "view", "purchase")
    for wrong in ("count", "count_0d", "count_7", "sale_7d", "recency_7d", "count_-1d", ""):
        with pytest.raises(ValueError, match=r"unknown aggregate .*: there are count_<N>d"):
            parse(wrong)


def test_rows_out_of_order_are_refused():
    ones = np.ones((2, 1), np.int32)
    for entities, days in (([1, 1], [5, 4]), ([2, 1], [4, 5]), ([1, 1], [4, 4])):
        with pytest.raises(DataContractError, match="one per entity and day, in order"):
            Cumulative(np.array(entities, np.int32), np.array(days, np.int32), ones)
    table = Cumulative(np.array([1, 1], np.int32), np.array([4, 5], np.int32), ones)
    assert table.entities.tolist() == [1, 1] and table.days.tolist() == [4, 5]
    with pytest.raises(DataContractError, match="sums of view lack count"):
        values(table, ["count_1d"], ["view"], np.array([1]), np.array([9]))
