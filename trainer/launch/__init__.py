"""Starting N workers: which launcher, with which environment, and who watches them."""

import os
import socket
import sys
from typing import Final, Protocol

from nightrank import IMPORT_PATH
from nightrank.feature_store.contracts.environment import named, plain
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.secret_settings import VARIABLE
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch import horovodrun, one_process, spark
from nightrank.trainer.launch.environment import handed_over
from nightrank.trainer.launch.supervise import end_leftovers, supervise
from nightrank.trainer.ranks.threads import threads_of, workers_here

FOR_SPARK: Final = (VARIABLE, "PYSPARK_SUBMIT_ARGS")


class Launcher(Protocol):
    def command(self, job: Job) -> list[str]:
        """The command line that starts every worker of the job and ends when they have."""
        ...


LAUNCHERS: dict[str, Launcher] = {"horovodrun": horovodrun, "spark": spark, "one_process": one_process}


def launch(job: Job) -> None:
    """All workers have ended well when this returns; otherwise the fault of the first to blame is raised.

    StalledError: a rank hung or was lost. ConfigError: this machine cannot start ranks.
    """
    if job.config.launcher != "one_process":
        check_hostname(socket.gethostname())
    end_leftovers(job)
    with handed_over(job, os.environ) as where:
        supervise(LAUNCHERS[job.config.launcher].command(job), {**environment_of_workers(job), **where}, job)


def check_hostname(name: str) -> None:
    """ConfigError where the machine does not know its own name: Horovod's start would end in a segmentation fault."""
    try:
        socket.gethostbyname(name)
    except OSError:
        raise ConfigError(
            f"this machine's own name {name!r} does not resolve, which makes Horovod crash",
            f"add the line `127.0.0.1 {name}` to /etc/hosts, or set trainer.launcher=one_process",
        ) from None


def environment_of_workers(job: Job) -> dict[str, str]:
    """What of this process' environment the workers get, and what they need on top: threads, import path, Gloo's timeout.

    The process that starts a Spark session also gets Spark's arguments and secrets: it starts no rank by a command line.
    """
    threads = threads_of(job.config, workers_here(job.config))
    paths = [str(IMPORT_PATH), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **plain(os.environ),
        **(named(os.environ, FOR_SPARK) if job.config.launcher == "spark" else {}),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # Threads that spin while they wait starve whatever else runs on the machine.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore::FutureWarning,ignore::DeprecationWarning"),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",
        "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable),
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(job.config.watchdog.gloo_timeout_seconds),
    }
