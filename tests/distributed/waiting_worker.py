"""Two ranks of which one comes late to every collective; writes how much of the wait the other one computed through."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.ranks.worlds import open_world

LATE = 1.0


def main(out: Path, launcher: str) -> None:
    world = open_world(TrainerConfig(launcher=launcher), Progress())
    rows = torch.ones(4, 2)
    meetings: dict[str, Callable[[], object]] = {
        "allreduce": lambda: world.allreduce_sum(torch.ones(4)),
        "alltoall": lambda: world.alltoall(rows, [2, 2]),
        "broadcast": lambda: world.broadcast([torch.ones(4)], root=1),
        "gather": lambda: world.gather(world.rank),
    }
    shares = {}
    for name, meet in meetings.items():
        world.barrier()
        if world.rank == 1:
            time.sleep(LATE)
        began, worked = time.monotonic(), time.thread_time()
        meet()
        shares[name] = (time.thread_time() - worked) / (time.monotonic() - began)
    if world.rank == 0:
        out.write_text(json.dumps(shares))
    world.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
