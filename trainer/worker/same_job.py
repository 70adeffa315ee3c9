"""Whether all ranks were given one job: a host with another file or another version would train something else beside them."""

import hashlib
import json
from typing import Any

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.trainer.config.job import Job
from nightrank.trainer.data.plan import REVISION
from nightrank.trainer.ranks.communicator import Communicator


def check_same_job(job: Job, world: Communicator) -> None:
    """All ranks together. ConfigError on all of them, with the rank and the settings, where one differs from rank 0."""
    told = world.gather(_digests(job))
    for rank, theirs in enumerate(told[1:], 1):
        if theirs != told[0]:
            names = sorted(name for name in theirs.keys() | told[0].keys() if theirs.get(name) != told[0].get(name))
            raise ConfigError(
                f"rank {rank} of {world.size} was given another job than rank 0: {', '.join(names)}",
                "give all hosts the same lake and the same version of nightrank, and the same command again",
            )


def _digests(job: Job) -> dict[str, str]:
    """By setting; values may be long, and some are nobody else's to read."""
    body = job.model_dump(mode="json", exclude={"launcher"})  # the process that started this rank: each host has its own
    trainer = {f"trainer.{name}": value for name, value in body.pop("config").items()}
    return {name: _digest(value) for name, value in {**body, **trainer, "order of rows": REVISION}.items()}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
