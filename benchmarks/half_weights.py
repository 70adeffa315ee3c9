"""Weights and moments in bf16 (AnyPrecisionAdamW) beside fp32 (AdamW): memory of training, and NDCG on a public set.

`python -m benchmarks.half_weights --data Beauty.txt [--config models/sasrec --epochs 8 --seed 1 --out FILE]` trains each way
once, in a process of its own. Memory is what a rank's resident size grows by at its peak in STEPS steps of a ranker with ITEMS
items, after everything else is loaded. Beside it stands the state alone, counted: weights, gradient and moments.
"""

import argparse
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.accuracy.fit import ask, device_of, epoch_batches, fit, means
from benchmarks.accuracy.sequences import Sequences, held_out, questions, read_sequences, training_rows
from benchmarks.machine import machine
from benchmarks.runs import tell
from nightrank.feature_store.contracts.config import merged, validate
from nightrank.pipeline.config import find
from nightrank.ranker.compose import compose
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.data.memory import keep_freed_memory
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import trainable
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.ranks.communicator import SingleProcess

WAYS: Final = {
    "fp32": ("trainer.precision=fp32", "trainer.optimizer.name=adamw"),
    "bf16_kahan": ("trainer.precision=bf16", "trainer.optimizer.name=anyprecision_adamw"),
    "bf16": ("trainer.precision=bf16", "trainer.optimizer.name=anyprecision_adamw", "trainer.optimizer.kahan=false"),
}
STEPS: Final = 5
ITEMS: Final = 500_000
MIB: Final = 1 << 20


def of_process(field: str) -> float:
    """MiB of VmRSS or VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def memory(config: TrainerConfig, data: Sequences) -> dict[str, float]:
    """Peak growth of a fresh ranker's STEPS steps, after as many of a tiny one, which load what torch loads late."""
    _steps(config.model_copy(update={"batch_rows": 4}), data, data.items, 2)
    gc.collect()
    before = of_process("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    state = _steps(config, data, ITEMS, STEPS)
    return {"peak_mib": round(of_process("VmHWM") - before, 1), "state_mib": round(state / MIB, 1)}


def _steps(config: TrainerConfig, data: Sequences, items: int, steps: int) -> int:
    """Bytes of weights, gradient and moments."""
    hold = held_out("strict")
    ranker = compose(config.model, ItemInputs(items), 1)
    optimizer = optimizer_of(ranker, config)
    loss = config.loss.model_copy(update={"name": "sampled_softmax"})
    objective = SequenceObjective(ranker, loss, config.micro_batch_tokens, config.reorder)
    step = TrainStep(ranker, optimizer, SingleProcess(), device_of(config), objective, config.optimizer, 1)
    rows = training_rows(data, hold, config.model.encoder.max_length)
    batches = epoch_batches(rows, ReadPlan((len(rows),), 1, 0, 1, config.batch_rows))
    for number in range(steps):
        step(batches, number, 1e-4)
    weights = sum(value.nbytes for value in trainable(ranker).values())
    return 2 * weights + sum(value.nbytes for value in optimizer.tensors().values())


def one(config: TrainerConfig, data: Sequences, epochs: int, seed: int) -> dict[str, Any]:
    used = memory(config, data)
    if not epochs:
        return used
    outcome = fit(config, data, "strict", seed, lambda text: print(text, file=sys.stderr), epochs)
    figures = means(ask(outcome.ranker, questions(data, 1, held_out("strict")), device_of(config)))
    return {**used, **figures, "minutes": round(outcome.minutes, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half_weights", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="file of `user item item ...` lines")
    parser.add_argument("--config", default="models/sasrec")
    parser.add_argument("--set", nargs="*", default=[], help="trainer.key=value")
    parser.add_argument("--epochs", type=int, default=8, help="0: memory alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.way:
        keep_freed_memory()
        overrides = [*options.set, *WAYS[options.way]]
        config = validate(TrainerConfig, merged([find(options.config)], overrides).get("trainer", {}))
        print(json.dumps(one(config, read_sequences(options.data), options.epochs, options.seed)))
        return
    again = [sys.executable, "-m", "benchmarks.half_weights", *sys.argv[1:], "--way"]
    found = {way: json.loads(subprocess.run([*again, way], check=True, capture_output=True).stdout) for way in WAYS}
    fp32 = found["fp32"]
    ratios = {
        way: {key: round(found[way][key] / fp32[key], 4) for key in fp32 if key != "minutes"} for way in WAYS if way != "fp32"
    }
    result = {
        "name": "half_weights",
        "data": options.data.parent.name,
        "settings": {"config": options.config, "set": options.set, "epochs": options.epochs, "seed": options.seed},
        "machine": machine(threads=1),
        "results": found,
        "over_fp32": ratios,
    }
    tell(result, options.out)


if __name__ == "__main__":
    main()
