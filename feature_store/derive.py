"""Numbers that a plug-in derives from aggregates. Pure numpy, as `as_of` is, which calls it.

What it is given are differences of cumulative sums as of a day, so it cannot see later events. That it derives each row by
itself is tried once in each process: a number that depended on the rows beside it would differ between training and serving.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nightrank.feature_store.contracts.aggregates import derived
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.plugins import FEATURES

Floats = npt.NDArray[np.float32]
PROBES: Final = 16


def derive(name: str, known: Mapping[str, npt.NDArray[Any]]) -> Floats:
    """[T] what the plug-in makes of aggregates [T]. ConfigError where that is not one finite number a row, each by itself."""
    _try_row_by_row(name)
    return _call(name, {read: np.array(values, np.float32) for read, values in known.items()})


@lru_cache
def _try_row_by_row(name: str) -> None:
    draw = np.random.default_rng(17)
    known = {read: draw.integers(0, 50, PROBES).astype(np.float32) for read in derived(name).reads}
    whole = _call(name, {read: values.copy() for read, values in known.items()})
    alone = [_call(name, {read: values[row : row + 1].copy() for read, values in known.items()}) for row in range(PROBES)]
    if not np.array_equal(whole, np.concatenate(alone)):
        raise ConfigError(
            f"{_named(name)} gives a row another number when other rows stand beside it",
            "derive each row by itself: no mean over rows, no order, no state, no draw",
        )


def _call(name: str, known: dict[str, Floats]) -> Floats:
    rows = len(next(iter(known.values())))
    found: Floats = np.asarray(derived(name)(known), np.float32)
    if found.shape != (rows,) or not np.isfinite(found).all():
        what = f"shape {found.shape}" if found.shape != (rows,) else "a number that is not finite"
        raise ConfigError(f"{_named(name)} gave {what} for {rows} rows", "return one finite number a row; aggregates may be 0")
    return found


def _named(name: str) -> str:
    return f"feature {name} ({FEATURES})"
