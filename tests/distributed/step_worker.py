"""Takes the same global batches as every other world size would, this rank every N-th row of each, and writes what came out."""

import json
import sys
from pathlib import Path

import torch

from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.ranker.batch import Batch
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.horovod_world import Horovod
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.worker.phases import FIT, build_phase
from tests.training_jobs import CPU, job_of, training_of

STEPS = 12


def global_batches() -> list[tuple[list[list[int]], list[float]]]:
    generator = torch.Generator().manual_seed(1)
    batches = []
    for _ in range(STEPS):
        lengths = torch.randint(2, 12, (16,), generator=generator).tolist()
        rows = [torch.randint(1, 61, (n,), generator=generator).tolist() for n in lengths]
        batches.append((rows, torch.rand(16, generator=generator).tolist()))
    return batches


def main(root: Path, snapshot: Path, out: Path, backend: str, loss: str) -> None:
    world = Horovod(Progress()) if backend == "horovod" else SingleProcess()
    changes = {"loss": {"name": loss}, "model": {"encoder": {"dropout": 0.0}}, "optimizer": {"epsilon": 1e-4}}
    training = training_of(job_of(root, load_snapshot(snapshot), changes), world)
    step = build_phase(training, FIT).step
    mine = [(rows[world.rank :: world.size], weights[world.rank :: world.size]) for rows, weights in global_batches()]
    batches = iter([Batch.from_lists(rows, weights=weights) for rows, weights in mine])
    reports = [step(batches, number, 1e-2) for number in range(STEPS)]
    norm = {name: float(value.double().norm()) for name, value in training.ranker.state_dict().items()}
    told = world.gather({"losses": [report.loss for report in reports], "norm": norm, "rows": reports[0].rows})
    if world.rank == 0:
        out.write_text(json.dumps(told))


if __name__ == "__main__":
    assert CPU.torch_device.type == "cpu"
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5])
