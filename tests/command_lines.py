"""The command lines of all processes of this machine, for tests that look for a secret in them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def watched_command_lines(word: str) -> Iterator[set[str]]:
    """Command lines of this machine's processes that show the word, looked at all the time."""
    seen: set[str] = set()
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:
                    continue
                if word.encode() in line:
                    seen.add(line.replace(b"\0", b" ").decode(errors="replace"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()
