"""One day's sessions: who visits which item when. V visits, U users, I items."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from nightrank.pipeline.simulate.config import MarketConfig
from nightrank.pipeline.simulate.population import Population
from nightrank.pipeline.simulate.truth import Floats, Ints, TruthItems, TruthUsers, affinity, softmax

SESSION_STREAM: Final = 5
LONGEST: Final = 14
LONGEST_GAP: Final = 240.0
"""Seconds between visits. 14 visits of at most 240 s stay inside an hour, so a session ends on the day it began."""
HOURS: Final = np.array([2, 1, 1, 1, 1, 2, 4, 7, 8, 7, 6, 6, 8, 8, 6, 6, 7, 9, 11, 13, 14, 12, 8], float)
"""How busy each hour from 0 to 22 is."""


@dataclass(frozen=True)
class Visits:
    """In order of (session, step). `second_V` is seconds since midnight."""

    user_V: Ints
    session_V: Ints
    step_V: Ints
    item_V: Ints
    second_V: Floats

    @property
    def sessions(self) -> int:
        return int(self.session_V[-1]) + 1 if len(self.session_V) else 0


def visits(config: MarketConfig, today: Population, users: TruthUsers, items: TruthItems) -> Visits:
    """Everything that is looked at today. The first item of each session is drawn from exactly the p of `truth`;
    so is every later one taken alone, but inside a session the category mostly stays.
    """
    rng = np.random.default_rng([config.seed, SESSION_STREAM, today.day])
    active = today.active(config)
    user_of_session = np.repeat(active, 1 + (rng.random(len(active)) < config.second_session))
    lengths = np.minimum(1 + rng.poisson(config.visits_per_session - 1, len(user_of_session)), LONGEST)
    session_V = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    step_V = np.arange(len(session_V)) - starts[session_V]
    user_V = user_of_session[session_V]
    category_V = _categories(rng, config, users, user_V, step_V)
    item_V = _items(rng, users, items, config, today.day, user_V, category_V)
    second_V = _seconds(rng, len(lengths), session_V, step_V, starts)
    return Visits(user_V, session_V, step_V, item_V, second_V)


def _categories(rng: np.random.Generator, config: MarketConfig, users: TruthUsers, user_V: Ints, step_V: Ints) -> Ints:
    """A fresh draw at the start of a session, and later with probability 1 - stay; else the category of the visit before."""
    cdf_UK = np.cumsum(users.weights_UK.astype(np.float64), axis=1)
    cdf_UK /= cdf_UK[:, -1:]
    chosen = (rng.random(len(user_V))[:, None] > cdf_UK[user_V]).sum(axis=1)
    drawn = users.categories_UK[user_V, chosen]
    fresh = (step_V == 0) | (rng.random(len(user_V)) >= config.stay)
    latest = np.maximum.accumulate(np.where(fresh, np.arange(len(user_V)), 0)) if len(user_V) else np.arange(0)
    result: Ints = drawn[latest]
    return result


def _items(
    rng: np.random.Generator,
    users: TruthUsers,
    items: TruthItems,
    config: MarketConfig,
    day: int,
    user_V: Ints,
    category_V: Ints,
) -> Ints:
    """An item of the visit's category that is available today, by softmax of affinity."""
    available = items.available(config.start + timedelta(days=day))
    luck = rng.random(len(user_V))
    item_V = np.zeros(len(user_V), np.int64)
    for category in np.unique(category_V):
        rows = np.flatnonzero(category_V == category)
        inside = np.flatnonzero(available & (items.category_I == category))
        chance = softmax(affinity(users.style_US[user_V[rows]], items.style_IS[inside], items.bias_I[inside]))
        cdf = np.cumsum(chance, axis=1)
        picks = (luck[rows, None] > cdf).sum(axis=1)
        item_V[rows] = inside[np.minimum(picks, len(inside) - 1)]
    return item_V


def _seconds(rng: np.random.Generator, sessions: int, session_V: Ints, step_V: Ints, starts: Ints) -> Floats:
    begin = rng.choice(len(HOURS), sessions, p=HOURS / HOURS.sum()) * 3600.0 + rng.random(sessions) * 3600.0
    gaps = np.where(step_V == 0, 0.0, np.minimum(45.0 + rng.exponential(40.0, len(session_V)), LONGEST_GAP))
    elapsed = np.cumsum(gaps)
    result: Floats = begin[session_V] + elapsed - elapsed[starts][session_V]
    return result
