"""Processes that tests start and end."""

from contextlib import suppress

import psutil


def kill_family(pid: int) -> None:
    """SIGKILL to the process and to all that it started; nothing where it is gone."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for process in (*first.children(recursive=True), first):
            with suppress(psutil.NoSuchProcess):
                process.kill()
