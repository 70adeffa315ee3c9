"""Ranks that were lost are started again, as many or one fewer, from the last checkpoint (docs/adr/0038)."""

from typing import Final

from nightrank.feature_store.contracts import fence as fences
from nightrank.trainer.config.job import Job

BY_OTHERS: Final = ("pods",)
"""Launchers whose ranks are started elsewhere: who starts them starts them again."""


def last_commit(job: Job) -> str:
    """Name of the newest checkpoint to resume from; empty where there is none. Names begin with the number of steps."""
    return max((path.name for path in job.checkpoints.glob("run-*.json")), default="")


def may_start_again(job: Job, starts: int) -> bool:
    """After that many starts."""
    return starts <= job.config.elastic.restarts and job.config.launcher not in BY_OTHERS


def next_start(job: Job, went_on: bool) -> Job:
    """The job of the next start, saved. A start that `went_on` made a checkpoint: its lost rank is replaced. Otherwise there is
    one rank less, down to `fewest`; the step's rows and their order stay, each rank takes more of their shares."""
    config, fewest = job.config, job.config.elastic.fewest
    if went_on or fewest is None or config.workers <= fewest or config.hosts:
        return job
    fewer = config.model_copy(update={"workers": config.workers - 1, "shares": config.shares or config.workers})
    result = job.model_copy(update={"config": fewer})
    with fences.commit(job.lake, job.run_id, job.fence):
        result.save()
    return result
