"""Exact top-k users per second: ours beside implicit, faiss Flat and torch's product and topk, and beside a bf16 product alone.

`python -m benchmarks.topk --peer-python ENV/bin/python [--items 3416 16859 ...] [--widths 64 256] [--threads 1 2]`
with implicit and faiss-cpu in ENV. A round is each of them in turn, the peers in their own process, for a time that holds at
least one run; the figures are those of the shortest runs. `cpu_over` are the same ratios in CPU time, which hold on a busy
machine. Random normal vectors. Ours also returns scores, looks for exclusions and breaks ties by id. The limit is torch's bf16
product alone, into new memory or into the same each time, whichever is faster. `equal`: our lists of the first users are those
of brute force in fp64; `same_lists` are the shares of other lists that are ours. Files: topk_vs_implicit, topk_vs_best_exact
and topk_vs_gemm under benchmarks/results.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.peers.process import Peer
from benchmarks.topk.peer import shortest
from nightrank.ranker.retrieval.plan import plan_for
from nightrank.ranker.retrieval.topk import exact_topk

SEED: Final = 17
RESULTS: Final = Path(__file__).parents[1] / "results"
SCRIPT: Final = Path(__file__).with_name("peer.py")
CHECKED: Final = 32
"""Users whose lists are compared with brute force."""
TOLD: Final = {"items": 100_000, "width": 64, "threads": 1}
"""The row whose figures stand for the file."""
Row = dict[str, Any]


def contestants(users_BD: Tensor, items_ID: Tensor, k: int) -> dict[str, Callable[[], Any]]:
    """Here. Item 0 is padding and in no peer's catalogue."""
    users_half, items_half = users_BD.bfloat16(), items_ID[1:].bfloat16()
    space = torch.empty(len(users_BD), len(items_half), dtype=torch.bfloat16)
    nothing = (torch.empty(0, dtype=torch.int64), torch.zeros(len(users_BD) + 1, dtype=torch.int64))
    return {
        "ours": lambda: exact_topk(users_BD, items_ID, k, nothing)[0],
        "torch": lambda: (users_BD @ items_ID[1:].T).topk(k).indices + 1,
        "gemm_new": lambda: users_half @ items_half.T,
        "gemm_same": lambda: torch.mm(users_half, items_half.T, out=space),
    }


def brute_force(users_BD: Tensor, items_ID: Tensor, k: int) -> Tensor:
    parts = [(users_BD.double() @ part.double().T).float() for part in items_ID.split(100_000)]
    scores = torch.cat(parts, 1)
    scores[:, 0] = float("-inf")
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :k]


def race(items: int, width: int, threads: int, options: argparse.Namespace) -> Row:
    torch.set_num_threads(threads)
    load = round(os.getloadavg()[0], 1)
    random = torch.Generator().manual_seed(SEED)
    users_BD = torch.randn(options.users, width, generator=random)
    items_ID = torch.randn(items + 1, width, generator=random)
    runs = contestants(users_BD, items_ID, options.k)
    seconds: dict[str, list[list[float]]] = {name: [] for name in (*runs, "implicit", "faiss")}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/users.npy", users_BD.numpy())
        np.save(f"{folder}/items.npy", items_ID[1:].numpy())
        with Peer(
            options.peer_python, SCRIPT, {"folder": folder, "k": options.k, "threads": threads, "seconds": options.seconds}
        ) as peer:
            for number in range(options.rounds + 1):
                for name, run in runs.items():
                    seconds[name].append(shortest(run, options.seconds))
                if number:
                    peer.answer(keep=False, stop=False)
                heard = peer.hear()
                for name in ("implicit", "faiss"):
                    seconds[name].append(heard[name])
            peer.answer(keep=False, stop=True)
            versions = peer.hear()["versions"]
        lists = {name: torch.from_numpy(np.load(f"{folder}/{name}.npy")) + 1 for name in ("implicit", "faiss")}
    ours = runs["ours"]()
    lists["torch"] = runs["torch"]()
    return {
        "items": items,
        "width": width,
        "threads": threads,
        "users": options.users,
        "rounds": options.rounds,
        "load_before": load,
        **_figures(
            {name: [min(part) for part in zip(*values[1:], strict=True)] for name, values in seconds.items()}, options.users
        ),
        "equal": torch.equal(ours[:CHECKED], brute_force(users_BD[:CHECKED], items_ID, options.k)),
        "same_lists": {name: round(float((other == ours).all(1).double().mean()), 4) for name, other in lists.items()},
        "seconds": {name: [float(f"{wall:.4g}") for wall, _ in values[1:]] for name, values in seconds.items()},
        "versions": versions,
        "product": plan_for(items_ID, options.k).product,
    }


def _figures(best: dict[str, list[float]], users: int) -> Row:
    """Of the shortest runs: by the clock, and in CPU time."""
    return {
        "users_per_second": {name: round(users / values[0]) for name, values in best.items()},
        **_ratios({name: values[0] for name, values in best.items()}),
        "cpu_over": _ratios({name: values[1] for name, values in best.items()}),
    }


def _ratios(seconds: dict[str, float]) -> dict[str, float]:
    return {
        "over_implicit": round(seconds["implicit"] / seconds["ours"], 2),
        "over_best_exact": round(min(seconds["faiss"], seconds["torch"]) / seconds["ours"], 2),
        "over_torch": round(seconds["torch"] / seconds["ours"], 2),
        "over_gemm": round(min(seconds["gemm_new"], seconds["gemm_same"]) / seconds["ours"], 3),
    }


def written(rows: list[Row], before: Row, options: argparse.Namespace) -> None:
    """The three files, each with all rows; the figures on top are those of the row TOLD, or of the first."""
    ordered = sorted(rows, key=lambda row: [row[name] for name in TOLD])
    told = next((row for row in ordered if all(row[name] == value for name, value in TOLD.items())), ordered[0])
    for name, ratio in (("implicit", "over_implicit"), ("best_exact", "over_best_exact"), ("gemm", "over_torch")):
        result = {
            "name": f"topk_vs_{name}",
            "ours_over_peer": told["cpu_over"][ratio],
            "ours_over_limit": told["cpu_over"]["over_gemm"],
            "ratios_of": "CPU time of the shortest runs",
            "equal": all(row["equal"] for row in ordered),
            "of": {key: told[key] for key in TOLD},
            "rows": [
                {**row, "ours_over_peer": row["cpu_over"][ratio], "ours_over_limit": row["cpu_over"]["over_gemm"]}
                for row in ordered
            ],
            "command": "python -m benchmarks.topk --peer-python ENV/bin/python",
            "settings": {"k": options.k, "seconds": options.seconds},
            "seed": SEED,
            "machine": before,
        }
        (options.out / f"topk_vs_{name}.json").write_text(json.dumps(result, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.topk", description=__doc__)
    parser.add_argument("--peer-python", type=Path, required=True, help="Python of an environment with implicit and faiss-cpu")
    parser.add_argument("--items", type=int, nargs="+", default=[3416, 16_859, 100_000, 1_000_000])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    for name, default in (("users", 512), ("k", 10), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=0.3, help="at least so many of each in a round")
    parser.add_argument("--add", action="store_true", help="keep the rows of the files that are not measured now")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    before, kept = machine(), options.out / "topk_vs_gemm.json"
    rows: list[Row] = json.loads(kept.read_text())["rows"] if options.add else []
    for items, width, threads in ((i, w, t) for i in options.items for w in options.widths for t in options.threads):
        row = race(items, width, threads, options)
        rows = [*(old for old in rows if any(old[name] != row[name] for name in TOLD)), row]
        print({name: value for name, value in row.items() if name != "seconds"}, file=sys.stderr, flush=True)
        written(rows, before, options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
