"""SIGINT and SIGTERM as a flag that the runner looks at, so that no write is interrupted."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """The signal that asked the run to stop, if one did."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def note(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name if self.number else ""


@contextmanager
def caught() -> Iterator[StopRequest]:
    """Inside the block both signals only set the flag (on the main thread; elsewhere signals cannot be caught)."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop.note) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
