"""Which split rule a full run goes by, where its cuts lie, and which users are held out for the gate."""

from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import TrainingSetSettings
from nightrank.feature_store.contracts.snapshot import SplitRule
from nightrank.feature_store.days import day_start


def split_rule(settings: TrainingSetSettings, *, clock: str, first_day: date, day: date, timezone: str) -> SplitRule:
    """The rule for a full run as of `day` over events since `first_day`.

    ConfigError where a split by time is asked of data whose order is not a clock.
    """
    if settings.split == "global_time" and clock == "position":
        raise ConfigError(
            "training_set.split is global_time, but this lake's events have positions and no clock",
            "set training_set.split=leave_one_out (or auto), or import events with timestamps",
        )
    window = settings.test_days + settings.valid_days
    long_enough = clock == "real" and (day - first_day).days + 1 >= 2 * window
    if settings.split == "leave_one_out" or (settings.split == "auto" and not long_enough):
        return SplitRule(kind="leave_one_out", holdout_modulus=settings.holdout_modulus)
    return SplitRule(
        kind="global_time",
        holdout_modulus=settings.holdout_modulus,
        valid_from=day_start(day - timedelta(days=window - 1), timezone),
        test_from=day_start(day - timedelta(days=settings.test_days - 1), timezone),
    )


def held_out(*, seed: int, day: date, modulus: int) -> Column:
    """One user in `modulus`, by the hash of (seed, raw id, date): another tenth every night."""
    return F.pmod(F.xxhash64(F.lit(seed), F.col(c.RAW_ID), F.lit(day.isoformat())), F.lit(modulus)) == 0
