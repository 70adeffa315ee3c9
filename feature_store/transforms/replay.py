"""Which users a night replays: a uniform draw that depends on (seed, user, date) alone."""

from datetime import date
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c

_PARTS: Final = 1_000_000


def replayed(*, seed: int, day: date, fraction: float) -> Column:
    """True for about `fraction` of the users, others every night; independent of who is held out."""
    draw = F.pmod(F.xxhash64(F.lit("replay"), F.lit(seed), F.col(c.RAW_ID), F.lit(day.isoformat())), F.lit(_PARTS))
    return draw < F.lit(round(fraction * _PARTS))
