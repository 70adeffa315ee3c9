"""N workers of torch.distributed on the executors of a Spark session, by Spark's TorchDistributor."""

import os
import sys

from nightrank.feature_store.contracts.logs import log
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.spark import environment_of_executors, job_of, session_of, train_on_executor


def command(job: Job) -> list[str]:
    return [sys.executable, "-m", "nightrank.trainer.launch.torch_distributor", "--job", str(job.path)]


def train_with_environment(job_path: str, environment: dict[str, str]) -> int:
    """Runs in a process that Spark's task starts by torchrun. TorchDistributor passes no environment: it comes as a value."""
    os.environ.update(environment)
    return train_on_executor(job_path)


def main(arguments: list[str] | None = None) -> int:
    """Starts a session as `spark.*` of the configuration says, or joins the one spark-submit made, and trains on it."""
    job = job_of("nightrank.trainer.launch.torch_distributor", arguments)
    session = session_of(job)
    from pyspark.ml.torch.distributor import TorchDistributor

    # Its tasks are barrier tasks: all of them start at once, or none does.
    gpus = job.config.device == "cuda"
    distributor = TorchDistributor(num_processes=job.config.workers, local_mode=False, use_gpu=gpus)
    try:
        distributor.run(train_with_environment, str(job.path), environment_of_executors(job))
    except RuntimeError as error:
        log.error(f"TorchDistributor: {error}")
        return 1
    finally:
        session.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
