"""Tables by row between ranks: weak scaling from one rank to two, and steps a second beside Horovod's own optimizer.

`python -m benchmarks.sharded_tables --name NAME [--rounds 5 --steps 20 --out FILE]`, NAME weak_scaling_sharded,
weak_scaling_dense or sharded_vs_hvd_dense.

One ranker of ITEMS items, rows of LENGTH random items a rank in every step, each rank on a core of its own with one thread.
`weak_scaling_sharded` is steps a second of two ranks over those of one, each rank with as many rows: the limit is what one rank
reaches; `weak_scaling_dense` is the same with a small table on every rank, so the dense model is what counts.
`sharded_vs_hvd_dense` is two ranks of this trainer with the table sharded over two ranks of plain Horovod: the same
ranker with `nn.Embedding`, the same loss and batches, `hvd.DistributedOptimizer(torch.optim.AdamW)` with dense gradients.
Rounds of the ways take turns. `cpu_` is the same ratio of processor time, of the rank that takes most, with all threads: what
the machine does beside it hardly moves that. `equal` says that both ways have the same loss at the first step, before any
weight has moved.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.machine import machine
from benchmarks.runs import tell
from benchmarks.sharded_rank import BACKENDS, ITEMS, LENGTH, rank_main, wait_for

SCALING: Final = {"weak_scaling_sharded": "shard", "weak_scaling_dense": "replicate"}
"""How the table is held."""


def command_of(way: str, ranks: int) -> list[str]:
    if ranks == 1:
        return [sys.executable]
    if way.startswith("horovod"):
        return [
            sys.executable,
            "-m",
            "horovod.runner.launch",
            "--gloo",
            "-np",
            str(ranks),
            "-H",
            f"localhost:{ranks}",
            sys.executable,
        ]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(ranks)]
    return [sys.executable, *torchrun]


def measured(ways: dict[str, int], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """By way: seconds of each round. All ways are started, then take turns, round by round."""
    with tempfile.TemporaryDirectory() as name:
        turns = Path(name)
        running = {}
        for way, ranks in ways.items():
            told = ["--steps", str(options.steps), "--rounds", str(options.rounds), "--rows", str(options.rows)]
            told += ["--width", str(options.width), "--rank", way, "--out", str(turns / f"{way}.json")]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_TURNS": name, "BENCH_RANKS": str(ranks)}
            command = [*command_of(way, ranks), "-m", "benchmarks.sharded_tables", *told]
            running[way] = subprocess.Popen(command, env=environment, stdout=sys.stderr)
        for turn in range(options.rounds):
            for way, process in running.items():
                (turns / f"go-{way}-{turn}").touch()
                wait_for(turns / f"done-{way}-{turn}", lambda process=process: process.poll() in (None, 0))
                print(f"round {turn}: {way}", file=sys.stderr, flush=True)
        for process in running.values():
            process.wait()
        return {way: json.loads((turns / f"{way}.json").read_text()) for way in ways}


def compared(name: str, options: argparse.Namespace) -> dict[str, Any]:
    backend = options.backend
    if name in SCALING:
        mine, other = f"{backend}-{SCALING[name]}-2", f"{backend}-{SCALING[name]}-1"
        found = measured({other: 1, mine: 2}, options)
    else:
        mine, other = f"{backend}-shard-2", "horovod-dense-2"
        found = measured({other: 2, mine: 2}, options)
    rates = {way: [options.steps / seconds for seconds in body["seconds"]] for way, body in found.items()}
    ratios = sorted(a / b for a, b in zip(rates[mine], rates[other], strict=True))
    against = "limit" if name in SCALING else "peer"
    cpu = [a / b for a, b in zip(found[other]["cpu_seconds"], found[mine]["cpu_seconds"], strict=True)]
    gap = abs(found[mine]["first_loss"] - found[other]["first_loss"])
    return {
        "ours": round(median(rates[mine]), 3),
        against: round(median(rates[other]), 3),
        f"ours_over_{against}": round(median(ratios), 3),
        "by_round": [round(ratio, 3) for ratio in ratios],
        f"cpu_ours_over_{against}": round(median(cpu), 3),
        "equal": gap < (1e-3 if against == "peer" else 0.05),
        "equal_means": "mean loss of the first step, over ranks, within 0.001 (peer) or 0.05 (one rank has half of the rows)",
        "first_loss": {way: round(body["first_loss"], 6) for way, body in found.items()},
        "cpu_seconds": {way: [round(value, 3) for value in body["cpu_seconds"]] for way, body in found.items()},
        "seconds": {way: [round(value, 3) for value in body["seconds"]] for way, body in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharded_tables", description=__doc__)
    parser.add_argument("--name", choices=[*SCALING, "sharded_vs_hvd_dense"])
    parser.add_argument("--backend", choices=list(BACKENDS), default="horovod")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rank", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        rank_main(options.rank, options.rounds, options.steps, options.rows, options.width, options.out)
        return
    before = machine(threads=1)
    settings: dict[str, Any] = {key: getattr(options, key) for key in ("backend", "rounds", "steps", "rows", "width")}
    settings |= {"items": ITEMS[SCALING.get(options.name, "dense")], "length": LENGTH, "negatives": 1024}
    result = {
        "name": options.name,
        "unit": "steps/s",
        **compared(options.name, options),
        "settings": {
            **settings,
            "items": ITEMS[SCALING.get(options.name, "dense")],
            "length": LENGTH,
            "negatives": 1024,
            "precision": "fp32",
            "cores_a_rank": 1,
        },
        "command": f"python -m benchmarks.sharded_tables --name {options.name} --backend {options.backend} --out FILE",
        "machine": {**before, "load_after": round(os.getloadavg()[0], 2)},
    }
    tell(result, options.out)


if __name__ == "__main__":
    main()
