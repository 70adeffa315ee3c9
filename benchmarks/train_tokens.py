"""Training tokens a second of one rank: the whole step (forward, loss, backward, clip, AdamW), by softmax and by precision.

`python -m benchmarks.train_tokens [--items 20000 --width 128 --rows 256 --seconds 5]` prints one JSON object. Beside each
figure stands the limit: the same step's matrix products alone at the speed this machine multiplies. Modes are interleaved.
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any, Final

import torch

from benchmarks.machine import machine
from nightrank.ranker.batch import Batch
from nightrank.ranker.blocks.one_dnn import times_transposed
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.device import Device, multiplies_in_bf16

SEED: Final = 7
CPU = torch.device("cpu")


def batches(items: int, rows: int, count: int) -> list[Batch]:
    """Histories with lengths as in a shop's log: many short, few long (geometric, mean 8, at most 50)."""
    generator = torch.Generator().manual_seed(SEED)
    made = []
    for _ in range(count):
        lengths = (torch.empty(rows).exponential_(1 / 6.0, generator=generator).long() + 2).clamp_max(50).tolist()
        made.append(Batch.from_lists([torch.randint(1, items + 1, (n,), generator=generator).tolist() for n in lengths]))
    return made


def step_of(options: argparse.Namespace, loss: str, bf16: bool) -> TrainStep[Batch]:
    ranker = compose(RankerConfig(width=options.width), ItemInputs(items=options.items))
    device = Device(CPU, bf16)
    config = OptimizerConfig()
    objective = SequenceObjective(ranker, LossConfig(name=loss), 4096)
    return TrainStep(ranker, AdamW(ranker, config), SingleProcess(), device, objective, config, 1)


def tokens_per_second(step: TrainStep[Batch], data: list[Batch], seconds: float) -> float:
    started, tokens, number = time.perf_counter(), 0, 0
    while (spent := time.perf_counter() - started) < seconds:
        batch = data[number % len(data)]
        step(iter([batch]), number, 1e-3)
        tokens, number = tokens + batch.tokens, number + 1
    return tokens / spent


def products_per_second(bf16: bool, width: int) -> float:
    """Multiply-adds a second of a product of this width, by oneDNN: the quickest there is."""
    kind = torch.bfloat16 if bf16 else torch.float32
    a, b = torch.randn(2048, width, dtype=kind), torch.randn(4096, width, dtype=kind)
    times_transposed(a, b)
    started = time.perf_counter()
    for _ in range(5):
        times_transposed(a, b)
    return 5 * 2048 * width * 4096 / (time.perf_counter() - started)


def limit(options: argparse.Namespace, loss: str, bf16: bool) -> float:
    """Tokens a second if a step were its matrix products: two blocks of 12 d^2, d a score; three times with gradients."""
    scores = options.items if loss == "full_softmax" else LossConfig().negatives
    return products_per_second(bf16, options.width) / (3 * (2 * 12 * options.width**2 + options.width * scores))


def main() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("items", 20_000), ("width", 128), ("rows", 256), ("threads", 1), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = machine(threads=options.threads)
    data = batches(options.items, options.rows, 16)
    precisions = [False, True] if multiplies_in_bf16(CPU) else [False]
    modes = [(loss, bf16) for loss in ("sampled_softmax", "full_softmax") for bf16 in precisions]
    steps = {mode: step_of(options, *mode) for mode in modes}
    figures: dict[tuple[str, bool], list[float]] = {mode: [] for mode in modes}
    for round_number in range(options.rounds):
        for mode in modes:
            figures[mode].append(tokens_per_second(steps[mode], data, options.seconds))
        print(f"train_tokens: round {round_number + 1} of {options.rounds}", file=sys.stderr)
    return {
        "name": "train_tokens",
        "command": "python -m benchmarks.train_tokens",
        "seed": SEED,
        "machine": before,
        "settings": vars(options),
        "results": [
            {
                "loss": loss,
                "precision": "bf16" if bf16 else "fp32",
                "tokens_per_second": round(statistics.median(values), 1),
                "lowest": round(min(values), 1),
                "highest": round(max(values), 1),
                "limit": round(limit(options, loss, bf16), 1),
            }
            for (loss, bf16), values in figures.items()
        ],
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
