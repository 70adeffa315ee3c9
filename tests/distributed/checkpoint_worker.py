"""Saves a checkpoint of two steps, or resumes from the one that is there; writes what this world holds then."""

import json
import sys
from pathlib import Path

from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.ranks.worlds import open_world
from tests.shared_training import SHARD, logits, moments, settings, two_steps
from tests.training_jobs import job_of, training_of


def main(root: Path, snapshot: Path, launcher: str, out: Path) -> None:
    job = job_of(root, load_snapshot(locate(snapshot)), settings(SHARD, {"launcher": launcher}))
    world = open_world(job.config, Progress(), launcher == "one_process")
    training = training_of(job, world)
    if out.stem == "saved":
        two_steps(training)
    else:
        assert training.resume(None)
    held = {"logits": logits(training).tolist(), **{name: value.tolist() for name, value in moments(training).items()}}
    told = world.gather([world.size, held])
    if world.rank == 0:
        out.write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
