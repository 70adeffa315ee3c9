"""N workers of torch.distributed on the executors of a Spark session, by Spark's TorchDistributor."""

import argparse
import os
import sys

from nightrank.feature_store.contracts.environment import named, plain
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.config.job import Job, load_job
from nightrank.trainer.launch.environment import take_over
from nightrank.trainer.launch.spark import session_of, train_on_executor


def command(job: Job) -> list[str]:
    return [sys.executable, "-m", "nightrank.trainer.launch.torch_distributor", "--job", str(job.path)]


def train_with_environment(job_path: str, environment: dict[str, str]) -> int:
    """Runs in a process that Spark's task starts by torchrun. TorchDistributor passes no environment: it comes as a value."""
    os.environ.update(environment)
    return train_on_executor(job_path)


def main(arguments: list[str] | None = None) -> int:
    """Starts a session as `spark.*` of the configuration says, or joins the one spark-submit made, and trains on it."""
    parser = argparse.ArgumentParser(prog="nightrank.trainer.launch.torch_distributor")
    parser.add_argument("--job", type=locate, required=True)
    place = parser.parse_args(arguments).job
    take_over()  # before the job is read: where the lake is in a bucket, this is what opens it
    job = load_job(place)
    session = session_of(job)
    from pyspark.ml.torch.distributor import TorchDistributor

    # Its tasks are barrier tasks: all of them start at once, or none does.
    gpus = job.config.device == "cuda"
    distributor = TorchDistributor(num_processes=job.config.workers, local_mode=False, use_gpu=gpus)
    try:
        distributor.run(train_with_environment, str(job.path), plain(os.environ) | named(os.environ, job.config.environment))
    except RuntimeError as error:
        log.error(f"TorchDistributor: {error}")
        return 1
    finally:
        session.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
