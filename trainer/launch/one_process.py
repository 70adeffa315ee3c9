"""One worker in one process: no Horovod, the same code."""

import sys

from trainer.job import Job


def command(job: Job) -> list[str]:
    return [sys.executable, "-m", "trainer.worker", "--job", str(job.path), "--single"]
