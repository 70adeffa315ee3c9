"""N workers on the executors of a Spark session, by `horovod.spark.run`. The trainer's only touch of a session."""

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, Final

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.environment import named, plain
from nightrank.feature_store.contracts.errors import StalledError
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.config.job import Job, load_job
from nightrank.trainer.launch.environment import take_over

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WORKER: Final = "nightrank.trainer.worker.main"


def command(job: Job) -> list[str]:
    return [sys.executable, "-m", "nightrank.trainer.launch.spark", "--job", str(job.path)]


def train_on_executor(job_path: str) -> int:
    """Runs in an executor's Python, which must see the lake and have this project installed. Returns the worker's exit code."""
    work = importlib.import_module(WORKER).work  # by name: a launcher starts workers, whatever they are made of
    code = int(work(load_job(locate(job_path))))
    if code:
        os._exit(code)  # Spark takes a lost task as the end of the job; a returned code would look like success.
    return code


def spark_settings(job: Job) -> SparkSettings:
    """The job's, with the secrets that its file does not keep."""
    return Configuration.from_run({"spark": job.spark.model_dump(mode="json")}).section("spark", SparkSettings)


def session_of(job: Job) -> "SparkSession":
    from nightrank.feature_store.session import get_session

    return get_session(spark_settings(job), f"nightrank {job.run_id} train")


def job_of(program: str, arguments: list[str] | None) -> Job:
    """The job that `--job` names, opened with what `handed_over` gave: where the lake is in a bucket, that is what opens it."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--job", type=locate, required=True)
    place = parser.parse_args(arguments).job
    take_over()
    return load_job(place)


def environment_of_executors(job: Job) -> dict[str, str]:
    """What ranks on executors get of this process' environment."""
    return plain(os.environ) | named(os.environ, job.config.environment)


def main(arguments: list[str] | None = None) -> int:
    """Starts a session as `spark.*` of the configuration says, or joins the one spark-submit made, and trains on it."""
    job = job_of("nightrank.trainer.launch.spark", arguments)
    import horovod.spark

    workers = job.config.workers
    session = session_of(job)
    try:
        codes = horovod.spark.run(
            train_on_executor,
            args=(str(job.path),),
            num_proc=workers,
            env=environment_of_executors(job),
            use_gloo=True,
            start_timeout=int(job.config.watchdog.startup_seconds),
            verbose=0,
        )
    finally:
        session.stop()
    return max(codes, default=StalledError.exit_code)


if __name__ == "__main__":
    sys.exit(main())
