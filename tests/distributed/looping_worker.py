"""Two ranks that take steps together until rank 1 goes round in a Python loop for ever."""

import os
import sys
from pathlib import Path

import torch

from nightrank.trainer.config.job import load_job
from nightrank.trainer.ranks.horovod_world import Horovod
from nightrank.trainer.ranks.watchdog import Heartbeat, Progress
from nightrank.trainer.ranks.worlds import rank_of


def goes_round_for_ever() -> None:
    while True:
        pass


def main(job_path: Path) -> None:
    job = load_job(job_path)
    progress = Progress()
    Heartbeat(job.ranks, rank_of(os.environ, "horovod"), progress, job.config.watchdog, job.launcher).start()
    world = Horovod(progress)
    for step in range(1000):
        world.allreduce_sum(torch.ones(4))
        progress.moved("fit", step)
        if world.rank == 1 and step == 5:
            goes_round_for_ever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
