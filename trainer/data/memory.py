"""Freed memory stays with the process, so that the next batch does not pay for it page by page.

A page that comes back from the system costs two microseconds on a virtual machine: a tenth of an epoch's processor time.
"""

from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa

LARGEST: Final = 31 << 20
"""glibc maps larger blocks afresh every time (its threshold ends at 32 MiB)."""

NEVER: Final = -1
"""Milliseconds. With any other time jemalloc gives blocks of 8 MiB and more back at once; a column of a row group is one."""


@cache
def keep_freed_memory() -> None:
    """From now on glibc keeps up to about 2 x LARGEST bytes that are free, and Arrow's jemalloc all that its later threads ever
    held at once: a few row groups. glibc sets its thresholds by the largest block it has seen freed (mallopt(3), "dynamic mmap
    threshold"), so one is freed; no page of it is ever touched. Other allocators are not changed."""
    np.empty(LARGEST, np.uint8)
    if pa.default_memory_pool().backend_name == "jemalloc":
        pa.jemalloc_set_decay_ms(NEVER)
