"""One worker's life: `python -m nightrank.trainer.worker.main --job R/train/job.json`, started N times by a launcher."""

import argparse
import os
import sys
import time
import traceback
from typing import Any

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.logs import log, within
from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.config.job import Job, load_job
from nightrank.trainer.launch.environment import take_over
from nightrank.trainer.ranks.communicator import Communicator, Horovod, SingleProcess
from nightrank.trainer.ranks.watchdog import DONE, Heartbeat, Progress

PEER_LOST = "HorovodInternalError"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="nightrank.trainer.worker.main", description="One training worker, started by nightrank.trainer.launch"
    )
    parser.add_argument("--job", type=locate, required=True, help="the job's JSON")
    parser.add_argument("--single", action="store_true", help="a world of size one, without Horovod")
    options = parser.parse_args(arguments)
    take_over()
    return work(load_job(options.job), options.single)


def work(job: Job, single: bool = False) -> int:
    """Trains, and leaves how it ended in this rank's heartbeat file. Returns the exit code; reports faults, raises none."""
    progress = Progress()
    heartbeat = Heartbeat(job.ranks, _rank_of_environment(), progress, job.config.watchdog, job.launcher)
    heartbeat.start()
    with within(job.run_id, job.folder.name, rank=_rank_of_environment()):
        code, ended = _guarded(job, progress, single)
    heartbeat.stop(ended)
    return code


def _guarded(job: Job, progress: Progress, single: bool) -> tuple[int, dict[str, Any]]:
    from nightrank.trainer.worker.session import train_job

    try:
        communicator: Communicator = SingleProcess() if single else Horovod(progress, job.config.compression)
        started = time.monotonic()
        train_job(job, communicator, progress, started)
    except NightrankError as error:
        return error.exit_code, {"how": "fault", "fault": error.to_json()}
    except Exception as error:  # the outermost command of this process
        kind = type(error).__name__
        how = "peer_lost" if kind == PEER_LOST else "crashed"
        if how == "crashed":
            log.error(traceback.format_exc())
        return 1, {"how": how, "error": f"{kind}: {error}"[:2000]}
    return 0, DONE


def _rank_of_environment() -> int:
    """Horovod's launchers say the rank before anything is initialised, so that even a failing start has a name."""
    return int(os.environ.get("HOROVOD_RANK", "0"))


if __name__ == "__main__":
    sys.exit(main())
