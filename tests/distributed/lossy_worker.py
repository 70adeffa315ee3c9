"""Two ranks that add tensors with 16 bits on the wire, and write what came out."""

import json
import sys
from pathlib import Path

import torch

from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.ranks.worlds import open_world

VALUES = [65504.0 / 2, 65504.0, 1e6, 3e-8, float("nan")]


def main(out: Path, launcher: str, compression: str) -> None:
    world = open_world(TrainerConfig(launcher=launcher, compression=compression), Progress())
    told = {"cores": world.local_size}
    for value in VALUES:
        tensor = torch.tensor([value, -value, value / 4, float(world.rank)])
        world.allreduce_sum(tensor, lossy=True)
        exact = torch.tensor([value, float(world.rank)])
        world.allreduce_sum(exact)
        told[str(value)] = [tensor.tolist(), exact.tolist()]
    both = world.gather(told)
    if world.rank == 0:
        out.write_text(json.dumps(both))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
