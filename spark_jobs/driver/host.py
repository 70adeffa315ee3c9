"""Neighbouring Spark stages in one process and one session: what a JVM costs to start is paid once."""

import argparse
import importlib

from nightrank.feature_store.application import application
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.fingerprint import is_done
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.stage import StageFunction, exit_codes, opened, run_stage
from nightrank.feature_store.contracts.storage import locate
from nightrank.spark_jobs.driver.job import as_job


def main(argv: list[str] | None = None) -> int:
    """Runs the stages in order, leaving out those that are done; ends with the exit code of the first that fails."""
    parser = argparse.ArgumentParser(prog="nightrank.spark_jobs.driver.host", description=main.__doc__)
    parser.add_argument("--run-dir", type=locate, required=True)
    parser.add_argument("--stages", required=True, help="names, separated by commas")
    parser.add_argument("--redo", action="store_true", help="run stages again that are done")
    arguments = parser.parse_args(argv)
    names = arguments.stages.split(",")
    with exit_codes() as outcome, opened(arguments.run_dir, arguments.stages) as context, application(context, names):
        for name in names:
            if arguments.redo or not is_done(context, name):
                log.info(f"stage {name}")
                run_stage(name, as_job(name, function_of(name)), context)
    return outcome[0]


def function_of(name: str) -> StageFunction:
    """`nightrank.spark_jobs.<name>.run`. UsageError if there is no such job."""
    module = f"nightrank.spark_jobs.{name}"
    try:
        job = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageError(
            f"there is no Spark stage {name}", "stages are the modules of nightrank.spark_jobs with a run()"
        ) from None
    function: StageFunction = job.run
    return function


if __name__ == "__main__":
    raise SystemExit(main())
