"""One worker in one process: no Horovod, the same code."""

import sys

from nightrank.trainer.config.job import Job


def command(job: Job) -> list[str]:
    return [sys.executable, "-m", "nightrank.trainer.worker.main", "--job", str(job.path), "--single"]
