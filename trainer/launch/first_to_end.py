"""Which rank ended first, by the words of its launcher: it kills the others, so heartbeats alone cannot always tell."""

import re
from typing import Final

HOROVODRUN: Final = (re.compile(r"^Process name: (\d+)\s*$"), re.compile(r"^Exit code: (-?\d+)\s*$"))
"""horovodrun names a rank and its code on two lines."""
TORCHRUN: Final = (
    re.compile(r"^\s+rank\s+: (\d+) \(local_rank: \d+\)\s*$"),
    re.compile(r"^\s+exitcode\s+: (-?\d+) \(pid: \d+\)"),
)
"""torchrun does too. Of several ranks that failed, it lists the first one last, as the root cause."""
ROOT_CAUSE: Final = re.compile(r"^Root Cause \(first observed failure\):")


class FirstToEnd:
    """Sees the launcher's lines one by one. `ranks` then has the ranks that it names as the first, each with its exit code."""

    def __init__(self) -> None:
        self.ranks: dict[int, int] = {}
        self._rank = -1
        self._root = False

    def see(self, line: str) -> None:
        if ROOT_CAUSE.match(line):
            self._root = True
        for rank, code in (HOROVODRUN, *((TORCHRUN,) if self._root else ())):
            if named := rank.match(line):
                self._rank = int(named.group(1))
            elif self._rank >= 0 and (ended := code.match(line)):
                self.ranks[self._rank] = int(ended.group(1))
