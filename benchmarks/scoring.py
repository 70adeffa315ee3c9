"""Exact top-k users per second on one thread, against torch's matrix product and topk, and against the product alone.

Both sides list the same ids (the equality check); ours also leaves out seen items and breaks ties by id.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.machine import machine
from nightrank.ranker.retrieval.topk import exact_topk

SEED: Final = 17


def rate(run: Callable[[], object], users: int, seconds: float) -> float:
    """Users a second over at least `seconds`."""
    started, times = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        run()
        times += 1
    return users * times / (time.perf_counter() - started)


def contestants(users_BD: Tensor, items_ID: Tensor, k: int) -> dict[str, Callable[[], Any]]:
    nothing = (torch.empty(0, dtype=torch.int64), torch.zeros(len(users_BD) + 1, dtype=torch.int64))
    eligible = torch.ones(len(items_ID), dtype=torch.bool)
    eligible[0] = False
    return {
        "ours": lambda: exact_topk(users_BD, items_ID, k, nothing, eligible)[0],
        "peer": lambda: (users_BD @ items_ID[1:].T).topk(k).indices + 1,
        "limit": lambda: users_BD @ items_ID[1:].T,
    }


def main() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("items", 100_000), ("width", 64), ("users", 512), ("k", 10), ("rounds", 5), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = machine(threads=options.threads)
    random = torch.Generator().manual_seed(SEED)
    users_BD = torch.randn(options.users, options.width, generator=random)
    items_ID = torch.randn(options.items + 1, options.width, generator=random)
    runs = contestants(users_BD, items_ID, options.k)
    equal = torch.equal(runs["ours"](), runs["peer"]())
    figures: dict[str, list[float]] = {recommender: [] for recommender in runs}
    for number in range(options.rounds):
        for recommender, run in runs.items():
            figures[recommender].append(rate(run, options.users, options.seconds))
        print(f"scoring: round {number + 1} of {options.rounds}", file=sys.stderr)
    medians = {recommender: statistics.median(values) for recommender, values in figures.items()}
    return {
        "name": "scoring",
        "command": "python -m benchmarks.scoring",
        "seed": SEED,
        "machine": before,
        "settings": vars(options),
        "users_per_second": {recommender: round(value) for recommender, value in medians.items()},
        "ours_over_peer": round(medians["ours"] / medians["peer"], 3),
        "ours_over_limit": round(medians["ours"] / medians["limit"], 3),
        "equal": equal,
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
