"""Freed memory stays with the process for a while, so that the next batch does not pay for it page by page.

A page that comes back from the system costs two microseconds on a virtual machine: a tenth of an epoch's processor time.
"""

from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa

LARGEST: Final = 31 << 20
"""glibc maps larger blocks afresh every time (its threshold ends at 32 MiB)."""

KEPT_MILLISECONDS: Final = 10_000


@cache
def keep_freed_memory() -> None:
    """From now on glibc keeps up to about 2 x LARGEST bytes that are free, and Arrow's jemalloc keeps what is free for
    KEPT_MILLISECONDS. glibc sets its thresholds by the largest block it has seen freed (mallopt(3), "dynamic mmap threshold"),
    so one is freed; no page of it is ever touched. Other allocators are not changed."""
    np.empty(LARGEST, np.uint8)
    if pa.default_memory_pool().backend_name == "jemalloc":
        pa.jemalloc_set_decay_ms(KEPT_MILLISECONDS)
