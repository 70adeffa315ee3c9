"""Trains a small ranker with its table by row, and whole on rank 0 alone; writes how far they are apart, by case."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.ranks.communicator import Communicator, SingleProcess
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.ranks.worlds import open_world
from tests.row_training import IDS, config_of, train_rows

FULL = {"loss": {"name": "full_softmax", "chunk_elements": 1024}}
ADAMW = {"tables": {"optimizer": "adamw"}}
SPARSE = {"tables": {"optimizer": "sparse_adam"}}
ADAGRAD = {"tables": {"optimizer": "rowwise_adagrad"}}
CASES: dict[str, tuple[TrainerConfig, TrainerConfig]] = {
    "shard_adamw": (config_of("shard", ADAMW), config_of("replicate")),
    "shard_full_softmax": (config_of("shard", FULL, ADAMW), config_of("replicate", FULL)),
    "shard_sparse_adam": (config_of("shard", SPARSE), config_of("replicate_rows", SPARSE)),
    "shard_adagrad": (config_of("shard", ADAGRAD), config_of("replicate_rows", ADAGRAD)),
    "rows_of_whole_tables": (config_of("replicate_rows", ADAMW), config_of("replicate")),
}


def apart(world: Communicator, mine: dict[str, Any], alone: dict[str, Any]) -> dict[str, float]:
    """The largest differences on this rank."""
    losses = max(abs(a - b) for a, b in zip(mine["loss"], alone["loss"], strict=True))
    weights = 0.0
    for name, value in alone["weights"].items():
        held = mine["weights"][name]
        expected = value[world.rank :: world.size] if name == IDS and len(held) < len(value) else value
        weights = max(weights, float((held - expected).abs().max()))
    return {"loss": losses, "weights": weights}


def main(out: Path, backend: str) -> None:
    launcher = "horovodrun" if backend == "horovod" else "torchrun"
    world = open_world(config_of("auto", {"launcher": launcher}), Progress())
    found = {
        name: apart(world, train_rows(config, world), train_rows(alone, SingleProcess()))
        for name, (config, alone) in CASES.items()
    }
    rows = torch.arange(2 * world.size).view(-1, 1) + 100 * world.rank
    came, counts = world.alltoall(rows[: 2 * world.size - 1], [2] * (world.size - 1) + [1])
    told = world.gather({"apart": found, "came": came.flatten().tolist(), "counts": counts, "backend": world.backend})
    if world.rank == 0:
        out.write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
