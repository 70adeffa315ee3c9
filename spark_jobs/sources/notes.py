"""What an import tells its user: progress while it reads, and warnings counted once each."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[str], None]


def to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclass
class Notes:
    """One import's warnings by text (with the number of rows or files each holds for) and its progress line."""

    progress: Progress = to_stderr
    every_seconds: float = 2.0
    warnings: Counter[str] = field(default_factory=Counter)
    _last: float = field(default_factory=time.monotonic)

    def warn(self, text: str, count: int = 1) -> None:
        """Say it the first time, count it every time."""
        if text not in self.warnings:
            self.progress(f"warning: {text}")
        self.warnings[text] += count

    def tick(self, message: str) -> None:
        """A progress line, at most one in `every_seconds`."""
        now = time.monotonic()
        if now - self._last >= self.every_seconds:
            self._last = now
            self.progress(message)
