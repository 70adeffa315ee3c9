"""Which process this is, among all hosts and containers that share a lake: a pid alone names nobody."""

import contextlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

OWNER: Final = "owner"
"""The file in a temporary folder that names the process which fills it."""


@dataclass(frozen=True)
class ProcessId:
    """One process. `machine` is the boot and the process namespace: only there does `pid` mean anything.

    `started` tells it from a later process that was given the same pid.
    """

    host: str
    machine: str
    pid: int
    started: str

    @property
    def is_local(self) -> bool:
        """Whether its pid means something here."""
        return self.machine == this_machine()

    @property
    def is_gone(self) -> bool:
        """True only if it was on this machine and is no longer running. For another machine this cannot be known."""
        try:
            return self.is_local and process_started(self.pid) != self.started
        except OSError:  # no file may be opened just now: that says nothing of the other
            return False

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)


def this_process() -> ProcessId:
    return process_of(os.getpid())


def process_of(pid: int) -> ProcessId:
    """A process of this machine, as it lives now."""
    return ProcessId(socket.gethostname(), this_machine(), pid, process_started(pid))


def is_left_over(owner_file: Path) -> bool:
    """Whether the process that a folder's owner file names was of this machine and is gone; False where that cannot be told."""
    try:
        return ProcessId(**json.loads(owner_file.read_text())).is_gone
    except (OSError, ValueError, TypeError):
        return False


def process_started(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty if there is no such living process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def this_machine() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + str(Path("/proc/self/ns/pid").readlink())
    return socket.gethostname()
