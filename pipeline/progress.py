"""What a person sees while a run works: a live table on a terminal, one line a stage elsewhere. Everything goes to stderr."""

import sys
import threading
import time
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nightrank.pipeline.output import err

MARKS = {"done": "[green]done[/]", "kept": "[dim]kept[/]", "running": "[cyan]running[/]", "failed": "[red]failed[/]"}


class Progress(Protocol):
    """Shows what happens in a run. It never calls the run."""

    def begin(self, title: str, stages: tuple[str, ...]) -> None: ...

    def stage(self, name: str, status: str, facts: dict[str, Any] | None = None) -> None:
        """status: kept (done by an earlier attempt) | running | done | failed."""

    def line(self, text: str) -> None:
        """One line that the running stage printed."""

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


class LineProgress:
    """A line when a stage begins, one every minute while it runs, and one when it ends: for logs and for machines."""

    def __init__(self, stream: TextIO | None = None, every_seconds: float = 60.0) -> None:
        self._stream = stream or sys.stderr
        self._width = 20
        self._every = every_seconds
        self._ended = threading.Event()

    def begin(self, title: str, stages: tuple[str, ...]) -> None:
        self._width = max((len(name) for name in stages), default=0)
        self.note(title)

    def stage(self, name: str, status: str, facts: dict[str, Any] | None = None) -> None:
        self._ended.set()
        self.note(f"  {name:<{self._width}}  {status:<7}  {_facts(facts)}".rstrip())
        if status == "running":
            self._ended = threading.Event()
            threading.Thread(target=self._tick, args=(name, self._ended), daemon=True).start()

    def _tick(self, name: str, ended: threading.Event) -> None:
        since = time.monotonic()
        while not ended.wait(self._every):
            self.note(f"  {name:<{self._width}}  running  {time.monotonic() - since:6.0f} s so far")

    def line(self, text: str) -> None:
        """Stage output stays in its log."""

    def note(self, text: str) -> None:
        err(text, self._stream)

    def end(self) -> None:
        self._ended.set()


class TerminalProgress:
    """A table that is redrawn in place: every stage, its time, and the last line of the running one."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._rows: dict[str, tuple[str, dict[str, Any] | None]] = {}
        self._title = self._words = ""
        self._since = time.monotonic()
        self._live: Live | None = None

    def begin(self, title: str, stages: tuple[str, ...]) -> None:
        self._title, self._rows = title, dict.fromkeys(stages, ("", None))
        self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=4, transient=False)
        self._live.start()

    def stage(self, name: str, status: str, facts: dict[str, Any] | None = None) -> None:
        if status == "running":
            self._since, self._words = time.monotonic(), ""
        self._rows[name] = (status, facts)

    def line(self, text: str) -> None:
        self._words = text.strip() or self._words

    def note(self, text: str) -> None:
        (self._live.console if self._live else self._console).print(Text(text))

    def end(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _draw(self) -> Table:
        table = Table(title=self._title, title_justify="left", box=None, pad_edge=False, show_header=False)
        for name, (status, facts) in self._rows.items():
            running = status == "running"
            words = f"{time.monotonic() - self._since:6.1f} s  {self._words}" if running else _facts(facts)
            table.add_row(Text(name), MARKS.get(status, "[dim]·[/]"), Text(words, overflow="ellipsis", no_wrap=True))
        return table


def choose(quiet: bool = False) -> Progress:
    """The live table where a person watches, else lines."""
    return TerminalProgress() if sys.stderr.isatty() and not quiet else LineProgress()


def _facts(facts: dict[str, Any] | None) -> str:
    if not facts:
        return ""
    words = [f"{facts.get('seconds', 0):6.1f} s"]
    if facts.get("rows_in") or facts.get("rows_out"):
        words.append(f"{facts.get('rows_in', 0):,} rows in, {facts.get('rows_out', 0):,} out")
    return "  ".join(words)
