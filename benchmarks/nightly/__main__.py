"""What a night costs by the length of the history: the same day on top of 1, 3 and 10 million events.

`python -m benchmarks.nightly [--history 1 3 10] [--nights 3] [--lakes FOLDER] [--out FILE]`. A synthetic shop has 100,000
events a day. Arrow writes the tables of the history. The first night on them is not timed: it makes what a full run would have
made. Then nights, each in a process of its own: ingest_events, build_features and build_training_set, without the start of the
session. Training and scoring are left out: training costs what the day's rows cost, scoring what the users cost. `ours` and
`limit` are the seconds of a night on the shortest and on the longest history, so `ours_over_limit` is the inverse of the
growth. `--lakes` keeps the lakes as they are before the nights, and begins from those that are there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copytree
from statistics import median
from typing import Any, Final

from benchmarks.machine import machine
from benchmarks.nightly.history import build
from benchmarks.nightly.market import day_of, land
from benchmarks.nightly.run import FEATURES
from nightrank import IMPORT_PATH
from nightrank.feature_store.contracts.lake import Lake

EVENTS_A_DAY: Final = 100_000
MILLION: Final = 1_000_000


def main() -> dict[str, Any]:
    options = _options()
    before = machine()
    with tempfile.TemporaryDirectory() as folder:
        kept = options.lakes or Path(folder) / "kept"
        roots = {size: _lake(kept, Path(folder), size, options.nights) for size in options.history}
        nights = _nights(roots, options.nights)
    seconds = {size: median(sum(_seconds(night).values()) for night in found) for size, found in nights.items()}
    first, last = min(seconds), max(seconds)
    body = {
        "name": "night_cost_10x_history",
        "command": f"python -m benchmarks.nightly --history {' '.join(map(str, options.history))} --nights {options.nights}",
        "unit": "s",
        "ours": round(seconds[first], 2),
        "peer": None,
        "limit": round(seconds[last], 2),
        "ours_over_peer": None,
        "ours_over_limit": round(seconds[first] / seconds[last], 3),
        "events_a_day": EVENTS_A_DAY,
        "history": {f"{size}M": _summary(found) for size, found in nights.items()},
        "machine": before,
    }
    options.out.write_text(json.dumps(body, indent=2) + "\n")
    return body


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nightly", description=__doc__)
    parser.add_argument("--history", type=int, nargs="+", default=[1, 3, 10], help="million events")
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--lakes", type=Path, help="a folder that keeps the lakes as they are before the nights")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "night_cost_10x_history.json")
    return parser.parse_args()


def _lake(kept: Path, folder: Path, size: int, count: int) -> Path:
    """A lake of its own for the nights of that history."""
    days = size * MILLION // EVENTS_A_DAY
    ready, root = kept / f"{size}m", folder / f"{size}m"
    if not (ready / "champion.json").exists():
        land(Lake(ready), days, count + 1, EVENTS_A_DAY, seed=size)
        build(Lake(ready), days, EVENTS_A_DAY, size, FEATURES)
    copytree(ready, root)
    return root


def _nights(roots: dict[int, Path], count: int) -> dict[int, list[dict[str, Any]]]:
    """The nights of all lakes in turn, so that what else the machine does falls on each of them."""
    found: dict[int, list[dict[str, Any]]] = {size: [] for size in roots}
    for night in range(count + 1):
        for size, root in roots.items():
            found[size].append(_night(root, size * MILLION // EVENTS_A_DAY + night))
            print(f"{size}M night {night}: {found[size][-1]['stages']}", file=sys.stderr)
    return {size: nights[1:] for size, nights in found.items()}


def _night(root: Path, number: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.nightly.run", "--root", str(root), "--day", str(day_of(number))]
    variables = {**os.environ, "PYTHONPATH": str(IMPORT_PATH)}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=variables)
    body: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return body


def _seconds(night: dict[str, Any]) -> dict[str, float]:
    return {name: stage["seconds"] for name, stage in night["stages"].items()}


def _summary(nights: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the nights."""
    stages = {
        name: {
            key: round(median(night["stages"][name][key] for night in nights), 2)
            for key in ("seconds", "cpu_seconds", "bytes_read")
        }
        for name in nights[0]["stages"]
    }
    return {
        "seconds": round(median(sum(_seconds(night).values()) for night in nights), 2),
        "each": [round(sum(_seconds(night).values()), 2) for night in nights],
        "session": round(median(night["session"] for night in nights), 2),
        "stages": stages,
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
