"""N workers by horovodrun over Gloo: on this machine, or on the hosts of `trainer.hosts` through ssh."""

import sys

from nightrank.trainer.config.job import Job


def command(job: Job) -> list[str]:
    workers = job.config.workers
    hosts = job.config.hosts or f"localhost:{workers}"
    runner = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", str(workers), "-H", hosts]
    return [*runner, sys.executable, "-m", "nightrank.trainer.worker.main", "--job", str(job.path)]
