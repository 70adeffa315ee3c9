"""What a reader's thread may make of a row group before it hands it on."""

from collections.abc import Callable
from typing import Any

Prepare = Callable[[int, Any], Any]
"""From the place in the plan and its row group, as the source read it, to what the reader gives. Called in the thread that read
the row group, which is still in the core's cache then; from several threads at once."""


def as_read(_place: int, row_group: Any) -> Any:
    return row_group
