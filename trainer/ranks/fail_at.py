"""Faults that a test plans for a rank at a step: `monkeypatch.setenv(*planned(1, 6, "kill"))` is all it takes.

A plan counts for one start of the ranks, the first if it names none: ranks that are started again do not meet it again.
"""

import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Final, Literal, Protocol, get_args

VARIABLE: Final = "NIGHTRANK_FAIL_AT"
"""`rank:step:how:start`, several of them with commas between."""
START: Final = "NIGHTRANK_START"
"""How often the ranks of this job had been started before; the launcher sets it."""
How = Literal["kill", "hang", "exit", "slow", "disk", "order"]
EXIT_CODE: Final = 13
SLOW_SECONDS: Final = 0.3
ROOM: Final = 8192
"""Bytes that a file may still have on a full disk: a heartbeat's, not a checkpoint's."""


class World(Protocol):
    """What a fault needs of a communicator; the launcher reads this module too, and imports no torch."""

    @property
    def rank(self) -> int: ...

    def barrier(self) -> None: ...


def planned(rank: int, step: int, how: How, start: int = 0) -> tuple[str, str]:
    """Name and value of the variable that plans this fault before the rank's step of that number. `slow` holds from then on.

    kill: SIGKILL. hang: SIGSTOP. exit: it ends by itself. disk: what it writes from then on finds no room. order: it calls a
    collective that the others do not.
    """
    assert how in get_args(How)
    return VARIABLE, f"{rank}:{step}:{how}:{start}"


def fail_at(world: World, step: int) -> None:
    """Before a rank's step: what is planned for it happens; without a plan, nothing."""
    for entry in filter(None, os.environ.get(VARIABLE, "").split(",")):
        rank, at, how, start = entry.split(":")
        now = step >= int(at) if how == "slow" else step == int(at)
        if now and int(rank) == world.rank and start == os.environ.get(START, "0"):
            FAULTS[how](world)


def _no_room(world: World) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))


FAULTS: Final[dict[str, Callable[[World], None]]] = {
    "kill": lambda world: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda world: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda world: os._exit(EXIT_CODE),
    "slow": lambda world: time.sleep(SLOW_SECONDS),
    "disk": _no_room,
    "order": lambda world: world.barrier(),
}
