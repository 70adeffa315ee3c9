"""The market's users: who exists on a day, what they like that day, and who comes by."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.pipeline.simulate.catalogue import category_shares, user_names
from nightrank.pipeline.simulate.config import MarketConfig
from nightrank.pipeline.simulate.truth import USER_SCHEMA, Floats, Ints, TruthUsers
from nightrank.pipeline.simulate.words import CATEGORIES, STYLES

USER_STREAM: Final = 2
DRIFT_STREAM: Final = 3
ACTIVITY_STREAM: Final = 4
CARED_FOR: Final = 4
"""Categories a user cares for at a time."""
STYLE_NORM: Final = 3.2
"""How strongly taste rules over popularity."""
NEW_INTEREST: Final = 0.01
"""Probability a day that a user's least cared-for category gives way to another."""


@dataclass(frozen=True)
class Population:
    """State of one day. U users; `log_weights` before the softmax, `rate` how often a user comes by."""

    day: int
    born_U: Ints
    categories_UK: Ints
    log_weights_UK: Floats
    style_US: Floats
    rate_U: Floats

    def truth(self, config: MarketConfig) -> TruthUsers:
        """In the float32 the files have: events are drawn from exactly these numbers."""
        weights = np.exp(self.log_weights_UK - self.log_weights_UK.max(axis=1, keepdims=True))
        weights = weights / weights.sum(axis=1, keepdims=True)
        names = np.array(user_names(np.arange(len(self.born_U)), config), object)
        return TruthUsers(names, self.categories_UK, weights.astype(np.float32), self.style_US.astype(np.float32))

    def active(self, config: MarketConfig) -> Ints:
        """Rows of the users with a session today: each by its own rate, the new ones for certain."""
        rng = np.random.default_rng([config.seed, ACTIVITY_STREAM, self.day])
        chance = 1.0 - np.exp(-self.rate_U * _scale(self.rate_U, config.daily_active))
        fresh = (self.born_U == self.day) & (self.day > 0)
        return np.flatnonzero((rng.random(len(chance)) < chance) | fresh)


def days(config: MarketConfig) -> Iterator[Population]:
    """The population of day 0, 1, …: each is yesterday's, drifted, and the newcomers."""
    today = _newcomers(config, 0, config.users)
    yield today
    for day in range(1, config.days):
        today = _joined(day, _drifted(config, today, day), _newcomers(config, day, config.new_users_per_day))
        yield today


def _newcomers(config: MarketConfig, day: int, count: int) -> Population:
    rng = np.random.default_rng([config.seed, USER_STREAM, day])
    # Gumbel keys: the largest CARED_FOR are a weighted draw without replacement.
    keys = np.log(category_shares()) + rng.gumbel(size=(count, len(CATEGORIES)))
    categories = np.argsort(-keys, axis=1, kind="stable")[:, :CARED_FOR].astype(np.int32)
    logs = rng.normal(0.0, 0.3, (count, CARED_FOR)) - 0.7 * np.arange(CARED_FOR)
    style = rng.normal(0.0, 0.35, (count, len(STYLES)))
    style[np.arange(count), rng.integers(len(STYLES), size=count)] += 1.6
    rate = rng.lognormal(0.0, 0.7, count)
    return Population(day, np.full(count, day), categories, logs, _normed(style), rate)


def _drifted(config: MarketConfig, before: Population, day: int) -> Population:
    rng = np.random.default_rng([config.seed, DRIFT_STREAM, day])
    count = len(before.born_U)
    style = before.style_US + rng.normal(0.0, config.taste_drift * STYLE_NORM / 2, before.style_US.shape)
    logs = before.log_weights_UK + rng.normal(0.0, config.taste_drift, before.log_weights_UK.shape)
    categories = before.categories_UK.copy()
    fresh = rng.choice(len(CATEGORIES), count, p=category_shares()).astype(np.int32)
    changes = (rng.random(count) < NEW_INTEREST * (config.taste_drift > 0)) & ~(categories == fresh[:, None]).any(axis=1)
    rows = np.flatnonzero(changes)
    weakest = logs[rows].argmin(axis=1)
    categories[rows, weakest] = fresh[rows]
    logs[rows, weakest] = logs[rows].max(axis=1)
    return Population(day, before.born_U, categories, logs, _normed(style), before.rate_U)


def _joined(day: int, old: Population, new: Population) -> Population:
    names = ("born_U", "categories_UK", "log_weights_UK", "style_US", "rate_U")
    merged: dict[str, npt.NDArray[Any]] = {name: np.concatenate([getattr(old, name), getattr(new, name)]) for name in names}
    return Population(day, **merged)


def _normed(style: Floats) -> Floats:
    lengths = np.linalg.norm(style, axis=1, keepdims=True)
    result: Floats = STYLE_NORM * style / np.maximum(lengths, 1e-9)
    return result


def _scale(rate_U: Floats, wanted: int) -> float:
    """The factor at which the expected number of active users is `wanted` (bisection; at most nearly everyone)."""
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1.0 - np.exp(-rate_U * middle)).sum() < wanted else (low, middle)
    return high


def landing_users(config: MarketConfig, today: Population) -> pa.Table:
    """LANDING_USERS of those who join today, with the interest they state when they sign up."""
    rows = np.flatnonzero(today.born_U == today.day)
    names = user_names(rows, config)
    joined = datetime.combine(config.start + timedelta(days=today.day), datetime.min.time(), UTC)
    favourite = today.categories_UK[rows, today.log_weights_UK[rows].argmax(axis=1)] if len(rows) else rows
    rng = np.random.default_rng([config.seed, USER_STREAM, today.day, 1])
    regions = rng.choice(["north", "east", "south", "west"], len(rows)).tolist()
    attributes = [
        [("interest", CATEGORIES[index].group), ("region", region)]
        for index, region in zip(favourite.tolist(), regions, strict=True)
    ]
    times = [joined] * len(rows)
    return pa.table({c.USER_ID: names, c.ATTRIBUTES: attributes, c.AVAILABILITY_TIME: times}, schema=schemas.LANDING_USERS)


def truth_table(users: TruthUsers) -> pa.Table:
    return pa.table(
        {
            "user_id": users.user_id.tolist(),
            "categories": list(users.categories_UK),
            "weights": list(users.weights_UK),
            "style": list(users.style_US),
        },
        schema=USER_SCHEMA,
    )
