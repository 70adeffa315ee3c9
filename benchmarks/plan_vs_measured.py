"""`nightrank plan` beside what training really takes: peak memory of a rank, for three named rankers on one and two ranks.

`python -m benchmarks.plan_vs_measured [--items 300000 --out FILE]`. Measured is what the resident size of a rank grows by at
its peak in STEPS steps of the longest histories and one pass over the catalogue, after libraries have been loaded by a tiny
training of the same kind. Two ranks are processes of torchrun. The plan is made of fake tensors, in a process of its own.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.half_weights import of_process
from benchmarks.machine import machine
from nightrank.feature_store.contracts.config import merged, validate
from nightrank.pipeline.config import find
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.data.memory import keep_freed_memory
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.planning.footprint import footprint
from nightrank.trainer.ranks.communicator import Communicator
from nightrank.trainer.ranks.device import choose_device
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.ranks.worlds import open_world

RANKERS: Final = ("sasrec", "gru", "hstu")
STEPS: Final = 3
MIB: Final = 1 << 20


def config_of(name: str, ranks: int) -> TrainerConfig:
    launcher = "one_process" if ranks == 1 else "torchrun"
    settings = ["trainer.precision=fp32", f"trainer.launcher={launcher}", f"trainer.workers={ranks}"]
    settings.append("trainer.checkpoint.in_background=false")  # none is written here
    return validate(TrainerConfig, merged([find(f"models/{name}")], settings).get("trainer", {}))


def train(config: TrainerConfig, items: int, world: Communicator, steps: int) -> None:
    """Steps of full batches of the longest histories, then the vectors of all items as a validation makes them."""
    ranker = compose(config.model, ItemInputs(items))
    objective = SequenceObjective(ranker, config.loss, config.micro_batch_tokens)
    device = choose_device(config, 0)
    step = TrainStep(ranker, optimizer_of(ranker, config), world, device, objective, config.optimizer, 1)
    size = (config.batch_rows, config.model.encoder.max_length)
    batches = (Batch.from_lists(torch.randint(1, items + 1, size).tolist()) for _ in range(steps))
    ranker.train()
    for number in range(steps):
        step(batches, number, 1e-4)
    ranker.all_item_vectors()


def measure(name: str, ranks: int, items: int, out: Path) -> None:
    """One rank's life; each writes its figure."""
    torch.set_num_threads(1)
    keep_freed_memory()
    config = config_of(name, ranks)
    world = open_world(config, Progress(), ranks == 1)
    train(config, 1000, world, 1)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = of_process("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    world.barrier()
    train(config, items, world, STEPS)
    peaks = world.gather(of_process("VmHWM") - before)
    if world.rank == 0:
        out.write_text(json.dumps(peaks))


def measured(name: str, ranks: int, items: int) -> float:
    """MiB of the rank that took most."""
    program = ["-m", "benchmarks.plan_vs_measured", "--items", str(items), "--measure", name, "--ranks", str(ranks)]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(ranks)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peaks.json"
        command = [sys.executable, *(torchrun if ranks > 1 else ()), *program, "--out", str(path)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
        return float(max(json.loads(path.read_text())))


def row(name: str, ranks: int, items: int) -> dict[str, Any]:
    planned = footprint(config_of(name, ranks), ItemShapes(items), ranks)
    peak, found = planned.peak / MIB, measured(name, ranks, items)
    parts = {key: round(value / MIB, 1) for key, value in planned.to_json().items()}
    ratio = round(peak / found, 3)
    print(f"{name} on {ranks}: planned {peak:.0f} MiB, measured {found:.0f} MiB, {ratio}", file=sys.stderr, flush=True)
    return {"ranker": name, "ranks": ranks, "planned_mib": parts, "measured_peak_mib": round(found, 1), "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_vs_measured", description=__doc__)
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--ranks", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.ranks, options.items, options.out)
        return
    rows = [row(name, ranks, options.items) for name in RANKERS for ranks in (1, 2)]
    result = {
        "name": "plan_vs_measured",
        "settings": {"items": options.items, "precision": "fp32", "steps": STEPS},
        "machine": machine(threads=1),
        "results": rows,
        "worst": max((each["ratio"] for each in rows), key=lambda ratio: abs(ratio - 1)),
    }
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
