"""How long a bucket is waited for that is busy or away, and with which pauses. The same for every client of it."""

import os
from collections.abc import Mapping
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError

VARIABLE: Final = "NIGHTRANK_STORAGE_SECONDS"
DEFAULT_SECONDS: Final = 60.0
"""A bucket that has been silent for this long counts as unreachable (8)."""
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
GROWTH: Final = 6.0
"""Each pause is drawn between the first one and so many times the one before (`decorrelated jitter`). A value below e, as the
libraries' default of 2, makes pauses that shrink: their logarithm grows by log(GROWTH) - 1 on average."""
UNBOUNDED: Final = 10_000
"""Attempts: time is the bound."""
HASTY_SECONDS: Final = 2.0
"""A bucket that was waited for in vain is given so long from then on, until it answers: a run must come to its end."""
SLOWEST_ANSWER_SECONDS: Final = 30.0
"""One request, with up to 16 MiB of a file, is given so long at least."""

OF_HDFS: Final = {
    "dfs.client.failover.max.attempts": "3",
    "dfs.client.failover.sleep.base.millis": "100",
    "dfs.client.failover.sleep.max.millis": "500",
}
"""A call of HDFS' client goes round its name nodes so often. Our own loop repeats it, with time as the bound."""


def storage_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """How long a bucket may be silent: NIGHTRANK_STORAGE_SECONDS, or a minute. ConfigError where it holds no number above 0.

    An attempt that began within that time is given its pause and its answer, so a call ends at most LONGEST_PAUSE_SECONDS and
    `answer_seconds` later.
    """
    given = environ.get(VARIABLE)
    try:
        seconds = float(given) if given else DEFAULT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{VARIABLE} is {given!r}", "give a number of seconds")
    return seconds


def answer_seconds(seconds: float) -> float:
    """How long one request may take: half of the time, so that a server that hangs is asked again."""
    return max(seconds / 2, SLOWEST_ANSWER_SECONDS)
