"""Features of a set with a clock: aggregates of users and items as of each event's day, from what the loss may see alone."""

from collections.abc import Sequence

import numpy as np

from benchmarks.accuracy.sequences import Sequences, held_out
from nightrank.feature_store.as_of import from_events
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.features import FeatureTables

ZONE = "UTC"


def read_features(data: Sequences, user: Sequence[str], item: Sequence[str]) -> FeatureTables | None:
    """Tables for the named aggregates; None where none is named. Validation and test events of every user are in no sum.

    UsageError for a set without times.
    """
    if not user and not item:
        return None
    if data.times is None:
        raise UsageError("features are as of a day, and the set has no times", "take one with a clock, such as ratings.csv")
    lengths = data.lengths
    place = np.arange(len(data.flat)) - np.repeat(data.offsets[:-1], lengths)
    seen = place < np.repeat(lengths - held_out("strict"), lengths)
    users = np.repeat(np.arange(1, data.users + 1), lengths)[seen]
    times, actions = data.times[seen], np.zeros(int(seen.sum()), np.int8)
    features = Features(user=tuple(user), item=tuple(item), timezone=ZONE)
    return FeatureTables(
        features,
        user=from_events(users, actions, times, times, counters_of(user), ZONE) if user else None,
        item=from_events(data.flat[seen], actions, times, times, counters_of(item), ZONE) if item else None,
    )
