"""A plan is counted in a process of its own: the pipeline imports no engine."""

from typing import Any, Final

import psutil

from nightrank.pipeline.child import answered
from nightrank.pipeline.config import configured
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.planning.request import PlanRequest
from nightrank.trainer.ranks.threads import workers_here

GIB: Final = 2**30
PROCESS: Final = GIB // 2
"""What a rank takes before it trains: Python, torch, a reader."""


def planned(
    files: list[str],
    overrides: list[str],
    items: int,
    users: int,
    text_width: int,
    world_size: int | None,
    memory_gib: float | None,
) -> dict[str, Any]:
    """What the training would take, by rank. Raises what the counting process found wrong."""
    trainer = configured(files, overrides).section("trainer", TrainerConfig)
    ranks = world_size or (1 if trainer.launcher == "one_process" else trainer.workers)
    request = PlanRequest(
        trainer=trainer,
        world_size=ranks,
        items=items,
        users=users,
        text_width=text_width,
        memory_bytes=round(memory_gib * GIB) if memory_gib else limit_here(trainer, ranks),
    )
    answer = counted(request)
    about = {"ranker": trainer.model.encoder.name, "items": items, "world_size": ranks, "backend": trainer.ranks_by}
    return {"status": "fits" if answer["fits"] else "too_large", "exit_code": 0 if answer["fits"] else 2, **about, **answer}


def limit_here(trainer: TrainerConfig, ranks: int) -> int:
    """What each rank of this machine has, after the memory of its process."""
    here = min(ranks, workers_here(trainer.model_copy(update={"workers": ranks})))
    return max(1, psutil.virtual_memory().total // here - PROCESS)


def counted(request: PlanRequest) -> dict[str, Any]:
    return answered("nightrank.trainer.planning.main", request.model_dump_json(), "the plan could not be counted")
