"""Training tokens a second on Amazon Beauty: ours beside RecTools' SASRec, the same width, blocks, heads, softmax and batch.

`python -m benchmarks.train_vs_rectools --data Beauty.txt --peer-python ENV/bin/python [--rounds 5]`. The peer lives in an
environment of its own (`pip install "rectools[torch]"`). A round is an epoch of each, in turn, both on the same pinned cores;
the peer's first epoch of each process is left out, so its loss is that of a second epoch. Tokens are those that are not
padding: the same for both. Prints one JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy.fit import CPU, device_of, epoch_batches, item_inputs
from benchmarks.accuracy.sequences import Sequences, read_sequences, training_rows
from feature_store.contracts.config import validate
from ranker.compose import compose
from trainer.communicator import SingleProcess
from trainer.config import TrainerConfig
from trainer.data.plan import ReadPlan
from trainer.objective import SequenceObjective
from trainer.optim import AdamW
from trainer.step import TrainStep

PEER = Path(__file__).parent / "peers" / "rectools_sasrec.py"
SAME: dict[str, Any] = {"width": 128, "blocks": 2, "heads": 2, "dropout": 0.2}


class Ours:
    """One model that goes on from round to round."""

    def __init__(self, data: Sequences, precision: str, seed: int) -> None:
        item = {"use_text": False, "use_categories": False, "use_numeric": False}
        encoder = {key: SAME[key] for key in ("blocks", "heads", "dropout")}
        tree = {"model": {"width": SAME["width"], "item": item, "encoder": encoder}, "loss": {"name": "full_softmax"}}
        self.config = validate(TrainerConfig, {**tree, "precision": precision, "batch_rows": 128})
        self.ranker = compose(self.config.model, item_inputs(data, 2), seed)
        objective = SequenceObjective(self.ranker, self.config.loss, self.config.piece_tokens)
        optimizer = AdamW(self.ranker, self.config.optimizer)
        device = device_of(self.config)
        self.step = TrainStep(self.ranker, optimizer, SingleProcess(), device, objective, self.config.optimizer, seed)
        self.rows, self.seed, self.epoch, self.number = training_rows(data, 2, 50), seed, 0, 0

    def epoch_seconds(self) -> tuple[float, float, int]:
        """(seconds, mean loss, tokens) of the next epoch."""
        plan = ReadPlan((len(self.rows),), self.seed, self.epoch, 1, self.config.batch_rows)
        started, losses, tokens = time.perf_counter(), 0.0, 0
        self.ranker.train()
        batches = epoch_batches(self.rows, plan)
        for _ in range(plan.steps):
            report = self.step(batches, self.number, 1e-3)
            losses, tokens, self.number = losses + report.loss, tokens + report.tokens, self.number + 1
        self.epoch += 1
        return time.perf_counter() - started, losses / plan.steps, tokens


def peer_epoch(python: Path, train: Path, epochs: int, threads: int) -> dict[str, Any]:
    asked = {"train": str(train), "asked": None, "epochs": epochs, **SAME, "loss": "softmax", "negatives": 1, "seed": 1}
    done = subprocess.run(
        [str(python), str(PEER)], input=json.dumps({**asked, "threads": threads}), capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return result


def main() -> dict[str, Any]:
    options = _options()
    os.sched_setaffinity(0, set(range(options.threads)))
    torch.set_num_threads(options.threads)
    data = read_sequences(options.data)
    ours = {precision: Ours(data, precision, 1) for precision in ("fp32", "auto")}
    seconds: dict[str, list[float]] = {name: [] for name in (*ours, "peer")}
    losses: dict[str, list[float]] = {name: [] for name in seconds}
    version, tokens = "", 0
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder) / "train.txt"
        train.write_text(strict_lines(data))
        for done in range(options.rounds):
            for name, one in ours.items():
                spent, loss, tokens = one.epoch_seconds()
                seconds[name].append(spent)
                losses[name].append(loss)
            peer = peer_epoch(options.peer_python, train, 2, options.threads)
            version = peer["version"]
            seconds["peer"].append(peer["epoch_seconds"][-1])
            losses["peer"].append(peer["losses"][-1])
            print(f"round {done + 1}: { ({k: round(v[-1], 1) for k, v in seconds.items()}) } s", file=sys.stderr, flush=True)
    rate = {name: tokens / statistics.median(values) for name, values in seconds.items()}
    return {
        "name": "train_tokens_vs_rectools",
        "unit": "tokens/s",
        "ours": round(rate["auto"]),
        "ours_fp32": round(rate["fp32"]),
        "peer": round(rate["peer"]),
        "peer_version": version,
        "ours_over_peer": round(rate["auto"] / rate["peer"], 2),
        "ours_fp32_over_peer": round(rate["fp32"] / rate["peer"], 2),
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "losses": {name: [round(value, 4) for value in values] for name, values in losses.items()},
        "tokens": tokens,
        "seed": 1,
        "command": "python -m benchmarks.train_vs_rectools " + " ".join(sys.argv[1:]),
        "machine": {"cpu": platform.machine(), "threads": options.threads, "torch": torch.__version__, "device": CPU.type},
    }


def strict_lines(data: Sequences) -> str:
    """Histories less the validation and the test item."""
    bounds = zip(data.offsets[:-1], data.offsets[1:] - 2, strict=True)
    return "".join(f"{user} {' '.join(map(str, data.flat[a:b]))}\n" for user, (a, b) in enumerate(bounds, 1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_vs_rectools", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
