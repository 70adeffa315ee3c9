"""The process behind `nightrank plan`: a PlanRequest on stdin, one JSON object on stdout."""

import json
import sys
from functools import lru_cache
from typing import Any

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.ranker.inputs import ItemShapes
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.planning.advice import remedy
from nightrank.trainer.planning.footprint import Footprint, footprint
from nightrank.trainer.planning.request import PlanRequest


def plan(request: PlanRequest) -> dict[str, Any]:
    """What each rank would hold and send, whether it fits, and what would make it fit."""
    shapes = ItemShapes(request.items, text_width=request.text_width, users=request.users)

    @lru_cache
    def counted(text: str) -> Footprint:
        return footprint(TrainerConfig.model_validate_json(text), shapes, request.world_size)

    def peak(config: TrainerConfig) -> int:
        return counted(config.model_dump_json()).peak

    found = counted(request.trainer.model_dump_json())
    fits = found.peak <= request.memory_bytes
    return {
        "bytes": found.to_json(),
        "memory_bytes": request.memory_bytes,
        "fits": fits,
        "remedy": [] if fits else list(remedy(request.trainer, peak, request.memory_bytes)),
    }


def main() -> int:
    try:
        answer = plan(PlanRequest.model_validate_json(sys.stdin.read()))
    except NightrankError as error:
        print(json.dumps({"error": error.to_json()}))
        return error.exit_code
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
