"""The environment of training workers, and how they are given what `trainer.environment` names of it.

horovodrun writes the environment it is given on the command line of every rank, where all users of the machine read it. So it
gets the plain names alone (`contracts.environment.plain`); what is named beside them goes by a file of this user.
"""

import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nightrank import IMPORT_PATH
from nightrank.feature_store.contracts.environment import STORAGE, named, plain
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.secret_settings import VARIABLE
from nightrank.trainer.config.job import Job
from nightrank.trainer.ranks.threads import threads_of, workers_here

FOR_SPARK: Final = (VARIABLE, "PYSPARK_SUBMIT_ARGS")
ON_SPARK: Final = ("spark", "torch_distributor")
FILE: Final = "NIGHTRANK_WORKER_ENVIRONMENT"
"""Names the file with the variables of `trainer.environment`. A worker takes them in before it does anything else."""


def environment_of_workers(job: Job) -> dict[str, str]:
    """What of this process' environment the workers get, and what they need on top: threads, import path, Gloo's timeout.

    The process that starts a Spark session also gets Spark's arguments and secrets: it starts no rank by a command line.
    """
    threads = threads_of(job.config, workers_here(job.config))
    paths = [str(IMPORT_PATH), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **plain(os.environ),
        **(named(os.environ, FOR_SPARK) if job.config.launcher in ON_SPARK else {}),
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


@contextmanager
def handed_over(job: Job, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Inside, the variables of `trainer.environment` are in a file of mode 0600; yields what tells the workers where.

    Workers on this machine find it in a private temporary folder, those of other hosts beside their heartbeats. Where the lake
    is in a bucket, what opens it goes the same way to workers on this machine; other hosts have their own.
    """
    opens = () if job.ranks.is_local or job.config.hosts else STORAGE
    found = named(environ, (*job.config.environment, *opens))
    if not found:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="nightrank-") as private:
        folder = _shared(job) if job.config.hosts else Path(private)
        path = folder / f".environment-{uuid.uuid4().hex}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(found, file)
            yield {FILE: str(path)}
        finally:
            path.unlink(missing_ok=True)


def _shared(job: Job) -> Path:
    """A folder that other hosts see. ConfigError in a bucket: variables may be secret, and a bucket's readers are others."""
    if not job.ranks.is_local:
        raise ConfigError(
            "trainer.environment reaches no other host from a lake in a bucket",
            "set those variables on the hosts themselves, and leave trainer.environment empty",
        )
    return job.ranks.path


def take_over() -> None:
    """In a worker: what `handed_over` wrote is in this process' environment."""
    path = os.environ.pop(FILE, None)
    if path is not None:
        os.environ.update(json.loads(Path(path).read_text()))
