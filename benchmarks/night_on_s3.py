"""A night in a bucket of a tiny S3 server on this machine beside the same night on a disk: what object storage costs a run.

`python -m benchmarks.night_on_s3 [--preset tiny] [--nights 2] [--out FILE]`. A full run first, which is not timed; then each
night on both lakes in turn. `ours_over_limit` is the seconds on the disk by the seconds in the bucket, `slowdown` its inverse.
`equal` says whether both lakes hold the same tables by content.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.runs import content, run
from nightrank.feature_store.contracts.lake import Lake

BUCKET = "lakes"


def main() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--nights", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "night_on_s3_vs_disk.json")
    options = parser.parse_args()
    from tests.s3_server import environment, s3_server

    before = machine()
    with tempfile.TemporaryDirectory() as folder, s3_server(BUCKET) as port:
        os.environ.update(environment(port), NIGHTRANK_NODE_CACHE=str(Path(folder) / "cache"))
        lakes = {"disk": f"{folder}/lake", "bucket": f"s3://{BUCKET}/lake"}
        for name, root in lakes.items():
            nights = _made(root, options.preset, options.nights, folder, name)
        seconds: dict[str, list[float]] = {name: [] for name in lakes}
        stages: dict[str, list[dict[str, float]]] = {name: [] for name in lakes}
        contents: dict[str, list[Any]] = {name: [] for name in lakes}
        for night in nights:
            for name, root in lakes.items():
                began = time.monotonic()
                result = run(root, "nightly", "--date", night, *_options(options.preset, folder, name))
                seconds[name].append(round(time.monotonic() - began, 2))
                stages[name].append({stage["name"]: stage["seconds"] for stage in result["stages"]})
                contents[name].append(content(result))
    slowdown = sum(seconds["bucket"]) / sum(seconds["disk"])
    body = {
        "name": "night_on_s3_vs_disk",
        "command": " ".join(["python -m benchmarks.night_on_s3", *sys.argv[1:]]),
        "seconds": seconds,
        "slowdown": round(slowdown, 3),
        "ours_over_limit": round(1 / slowdown, 3),
        "equal": contents["disk"] == contents["bucket"],
        "stages": stages,
        "machine": before,
    }
    options.out.write_text(json.dumps(body, indent=2) + "\n")
    return body


def _made(root: str, preset: str, nights: int, folder: str, name: str) -> list[str]:
    """A lake with a full run; the dates of the nights after it."""
    run(root, "simulate", "--preset", preset)
    days = Lake(root).landing_days("events")[-nights - 2 : -1]
    run(root, "full", "--as-of", str(days[0]), *_options(preset, folder, name))
    return [str(day) for day in days[1:]]


def _options(preset: str, folder: str, name: str) -> tuple[str, ...]:
    return ("--config", preset, "--set", f"mlflow.tracking_uri=sqlite:///{folder}/{name}.db")


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
