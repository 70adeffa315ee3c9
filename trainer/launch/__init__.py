"""Starting N workers: which launcher, with which environment, and who watches them."""

import os
import socket
from typing import Protocol

from nightrank.trainer.config.job import Job
from nightrank.trainer.config.training import BACKEND_OF
from nightrank.trainer.launch import horovodrun, one_process, pods, spark, torch_distributor, torchrun
from nightrank.trainer.launch.environment import environment_of_workers, handed_over
from nightrank.trainer.launch.host_name import check_hostname
from nightrank.trainer.launch.supervise import end_leftovers, supervise

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

    StalledError: a rank hung or was lost. ConfigError: this machine cannot start ranks.
    """
    if BACKEND_OF.get(job.config.launcher) == "horovod":
        check_hostname(socket.gethostname())
    end_leftovers(job)
    if job.config.launcher == "pods":
        pods.lead(job)
        return
    with handed_over(job, os.environ) as where:
        supervise(LAUNCHERS[job.config.launcher].command(job), {**environment_of_workers(job), **where}, job)
