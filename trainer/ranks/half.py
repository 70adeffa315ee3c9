"""fp16 on the wire: what values are multiplied by before they are rounded, so that their sum over all ranks fits."""

import math
from typing import Final

MOST: Final = 32_768.0
"""Half of fp16's range: room for the rounding of every addend."""
EXPONENTS: Final = (-126, 126)
"""fp32 can multiply by these powers of two, whatever the value."""


def half_scale(largest: float, ranks: int) -> float:
    """The largest power of two by which values of magnitude up to `largest` can be multiplied so that `ranks` of them add up to
    at most `MOST`; it costs no digit, and brings tiny values into fp16's range. 1 where there is nothing finite to scale."""
    if not (math.isfinite(largest) and largest > 0):
        return 1.0
    exponent = math.floor(math.log2(MOST / ranks) - math.log2(largest))
    return 2.0 ** min(max(exponent, EXPONENTS[0]), EXPONENTS[1])
