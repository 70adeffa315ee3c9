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
from nightrank.trainer.ranks.communicator import PeerLost
from nightrank.trainer.ranks.watchdog import DONE, Heartbeat, Progress
from nightrank.trainer.ranks.worlds import open_world, rank_of


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="nightrank.trainer.worker.main", description="One training worker, started by nightrank.trainer.launch"
    )
    parser.add_argument("--job", type=locate, required=True, help="the job's JSON")
    parser.add_argument("--single", action="store_true", help="a world of size one")
    options = parser.parse_args(arguments)
    take_over()
    return work(load_job(options.job), options.single)


def work(job: Job, single: bool = False) -> int:
    """Trains, and leaves how it ended in this rank's heartbeat file. Returns the exit code; reports faults, raises none."""
    progress = Progress()
    rank = 0 if single else rank_of(os.environ, job.config.ranks_by)
    heartbeat = Heartbeat(job.ranks, rank, progress, job.config.watchdog, job.launcher)
    heartbeat.start()
    with within(job.run_id, job.folder.name, rank=rank):
        code, ended = _guarded(job, progress, single)
    heartbeat.stop(ended)
    return code


def _guarded(job: Job, progress: Progress, single: bool) -> tuple[int, dict[str, Any]]:
    from nightrank.trainer.worker.session import train_job

    try:
        communicator = open_world(job.config, progress, single)
        started = time.monotonic()
        train_job(job, communicator, progress, started)
    except NightrankError as error:
        return error.exit_code, {"how": "fault", "fault": error.to_json()}
    except PeerLost as error:
        return 1, {"how": "peer_lost", "error": str(error)[:2000]}
    except Exception as error:  # the outermost command of this process
        log.error(traceback.format_exc())
        return 1, {"how": "crashed", "error": f"{type(error).__name__}: {error}"[:2000]}
    return 0, DONE


if __name__ == "__main__":
    sys.exit(main())
