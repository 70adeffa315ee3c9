"""Starting N workers: which launcher, with which environment, and who watches them."""

import os
import socket
from typing import Protocol

from nightrank.feature_store.contracts.errors import StalledError
from nightrank.feature_store.contracts.logs import log
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.training import BACKEND_OF
from nightrank.trainer.launch import horovodrun, one_process, pods, spark, torch_distributor, torchrun
from nightrank.trainer.launch.again import last_commit, may_start_again, next_start
from nightrank.trainer.launch.environment import environment_of_workers, handed_over
from nightrank.trainer.launch.host_name import check_hostname
from nightrank.trainer.launch.supervise import end_leftovers, supervise
from nightrank.trainer.ranks.fail_at import START

__all__ = ["LAUNCHERS", "Launcher", "check_hostname", "environment_of_workers", "launch"]


class Launcher(Protocol):
    def command(self, job: Job) -> list[str]:
        """The command line that starts every worker of the job and ends when they have."""
        ...


LAUNCHERS: dict[str, Launcher] = {
    "horovodrun": horovodrun,
    "spark": spark,
    "torchrun": torchrun,
    "torch_distributor": torch_distributor,
    "one_process": one_process,
}


def launch(job: Job) -> None:
    """All workers have ended well when this returns; otherwise the fault of the first to blame is raised.

    StalledError: a rank hung or was lost, and `trainer.elastic` allows no other start. ConfigError: this machine cannot start
    ranks.
    """
    if BACKEND_OF.get(job.config.launcher) == "horovod":
        check_hostname(socket.gethostname())
    starts = 0
    while True:
        committed = last_commit(job)
        try:
            _launch_once(job, starts)
            return
        except StalledError as error:
            starts += 1
            if not may_start_again(job, starts):
                raise
            job = next_start(job, last_commit(job) != committed)
            log.warning(f"{error.message}; start {starts + 1} has {job.config.workers} ranks")


def _launch_once(job: Job, starts: int) -> None:
    """As `launch`, once, after that many starts."""
    end_leftovers(job)
    if job.config.launcher == "pods":
        pods.lead(job)
        return
    with handed_over(job, os.environ) as where:
        environment = {**environment_of_workers(job), **where, START: str(starts)}
        supervise(LAUNCHERS[job.config.launcher].command(job), environment, job)
