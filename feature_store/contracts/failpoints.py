"""Named places where a test can kill the process, to prove that the same command afterwards ends in the same state."""

import os
import signal
from pathlib import Path
from typing import Final

VARIABLE: Final = "NIGHTRANK_FAILPOINT"
"""Names one failpoint: the process dies each time it is reached."""
EACH_ONCE: Final = "NIGHTRANK_FAILPOINTS_ONCE"
"""Names a file: the process dies at every failpoint that is not in the file yet, and the file learns it first."""
KNOWN: Final[set[str]] = set()


def failpoint(name: str) -> None:
    """SIGKILL this process if the environment asks for it at `name`; otherwise nothing."""
    if os.environ.get(VARIABLE) == name or _first_time(name):
        os.kill(os.getpid(), signal.SIGKILL)


def _first_time(name: str) -> bool:
    seen = os.environ.get(EACH_ONCE)
    if not seen:
        return False
    with open(Path(seen), "a+") as file:
        file.seek(0)
        if name in file.read().split():
            return False
        file.write(f"{name}\n")
        return True
