"""What an import tells its user: progress, what it detected, warnings of one kind together, and faulty cells."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nightrank.feature_store.contracts.logs import log
from nightrank.spark_jobs.sources.faults import Faults

Progress = Callable[[str], None]
NAMED: Final = 8
"""At most this many names are shown per warning."""


@dataclass
class Messages:
    """Texts with how often each holds, and the first few names it holds for."""

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, text: str, count: int, name: str | None) -> None:
        self.counts[text] += count
        if name is not None:
            self.names.setdefault(text, {})[name] = None

    def to_json(self) -> dict[str, int]:
        """{text with its names: count}, in the order they came up."""
        return {self._full(text): count for text, count in self.counts.items()}

    def _full(self, text: str) -> str:
        names = list(self.names.get(text, ()))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return f"{text}: {', '.join(names[:NAMED])}{more}" if names else text


@dataclass
class Notes:
    """One import's messages. They are collected while it reads and said once at its end, each kind with its count."""

    progress: Progress = log.info
    """Takes each line. A command gives its own way to the screen; else the lines are logged."""
    every_seconds: float = 2.0
    faults: Faults = field(default_factory=Faults)
    _warnings: Messages = field(default_factory=Messages)
    _detected: Messages = field(default_factory=Messages)
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that the mapping says are not to be taken in, by reason."""
    _last: float = field(default_factory=time.monotonic)

    def warn(self, text: str, count: int = 1, name: str | None = None) -> None:
        """Count it under its kind `text`; `name` says which column, file or value it holds for."""
        self._warnings.add(text, count, name)

    def detect(self, text: str, name: str | None = None) -> None:
        """What was found out about the input and not told by the mapping."""
        self._detected.add(text, 1, name)

    def detect_many(self, text: str, count: int, name: str) -> None:
        """As `detect`, of so many cells."""
        self._detected.add(text, count, name)

    @property
    def warnings(self) -> dict[str, int]:
        return self._warnings.to_json()

    @property
    def detected(self) -> dict[str, int]:
        return self._detected.to_json()

    def tick(self, message: str) -> None:
        """A progress line, at most one in `every_seconds`."""
        now = time.monotonic()
        if now - self._last >= self.every_seconds:
            self._last = now
            self.progress(message)

    def say_all(self) -> None:
        """One line for everything that was detected, each kind of warning and each column with faulty cells."""
        for text, count in self.detected.items():
            self.progress(f"detected: {text}" + (f" ({count:,} times)" if count > 1 else ""))
        for text, count in self.warnings.items():
            self.progress(f"warning: {text}" + (f" ({count:,} times)" if count > 1 else ""))
        for line in self.faults.lines():
            self.progress(f"faulty: {line}")
