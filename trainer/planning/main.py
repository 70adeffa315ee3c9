"""The process behind `nightrank plan`: a PlanRequest on stdin, one JSON object on stdout."""

import sys
from functools import lru_cache
from typing import Any

from nightrank.feature_store.contracts.one_answer import one_answer
from nightrank.ranker.inputs import ItemShapes
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.planning.advice import remedy
from nightrank.trainer.planning.footprint import Footprint, footprint
from nightrank.trainer.planning.request import PlanRequest
from nightrank.trainer.tables.placement import placement_of


def plan(request: PlanRequest) -> dict[str, Any]:
    """What each rank would hold and send, whether it fits, and what would make it fit."""
    shapes = ItemShapes(request.items, text_width=request.text_width, users=request.users)

    @lru_cache
    def counted(text: str) -> Footprint:
        config = TrainerConfig.model_validate_json(text)
        return footprint(config, shapes, config.workers)

    def peak(config: TrainerConfig) -> int:
        return counted(config.model_dump_json()).peak

    trainer = request.trainer.model_copy(update={"workers": request.world_size})
    found = counted(trainer.model_dump_json())
    fits = found.peak <= request.memory_bytes
    return {
        "bytes": found.to_json(),
        "memory_bytes": request.memory_bytes,
        "fits": fits,
        "table": placement_of(trainer, request.items, trainer.model.width, trainer.model.item.use_id),
        "remedy": [] if fits else list(remedy(trainer, peak, request.memory_bytes)),
    }


def main() -> int:
    return one_answer(lambda text: plan(PlanRequest.model_validate_json(text)))


if __name__ == "__main__":
    sys.exit(main())
