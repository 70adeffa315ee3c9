"""A night on a standalone cluster with neighbouring Spark stages in one application, and with an application for each stage.

`python -m benchmarks.cluster_night [--nights 2] [--out FILE]`: a master and two workers as processes of this machine, a tiny
market, a full run first, which is not timed. Each night runs on two copies of the lake, in turn, and which goes first
alternates. `ours`, `peer`:
seconds of a night less those of the stages that are no Spark jobs, so with the start of each process. `ours_over_peer` says how
many times as fast one application is, `whole` the same of whole nights. `equal`: both lakes hold the same tables by content.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import machine
from benchmarks.runs import content, run
from nightrank.feature_store.contracts.lake import Lake

NAME: Final = "cluster_night_one_application"
WORKERS: Final = ("127.0.0.2", "127.0.0.3")
LOCAL: Final = ("train", "register", "evaluate", "gate", "report", "verdict", "check_day")
"""Stages that are processes of this machine whatever is asked for."""


def main() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / f"{NAME}.json")
    options = parser.parse_args()
    from tests.cluster.standalone import Cluster

    before = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = Cluster(folder / "cluster", Path(__file__).parents[1])
        try:
            cluster.start_master()
            for host in WORKERS:
                cluster.start_worker(host)
            nights, lakes = _made(folder, options.nights)
            laps: dict[str, list[dict[str, Any]]] = {kind: [] for kind in lakes}
            for number, night in enumerate(nights):
                for kind in sorted(lakes, reverse=number % 2 == 1):
                    laps[kind].append(_night(lakes[kind], night, cluster.master, kind))
        finally:
            cluster.stop()
    ours, peer = (sum(lap["spark"] for lap in laps[kind]) for kind in ("shared", "stages"))
    whole = [sum(lap["seconds"] for lap in laps[kind]) for kind in ("stages", "shared")]
    body = {
        "name": NAME,
        "command": " ".join(["python -m benchmarks.cluster_night", *sys.argv[1:]]),
        "unit": "s",
        "ours": round(ours, 2),
        "peer": round(peer, 2),
        "ours_over_peer": round(peer / ours, 3),
        "whole": round(whole[0] / whole[1], 3),
        "equal": [lap["content"] for lap in laps["shared"]] == [lap["content"] for lap in laps["stages"]],
        "nights": {
            kind: [{key: lap[key] for key in ("seconds", "spark", "load_before", "stages")} for lap in laps[kind]]
            for kind in laps
        },
        "machine": before,
    }
    options.out.write_text(json.dumps(body, indent=2) + "\n")
    return body


def _made(folder: Path, nights: int) -> tuple[list[str], dict[str, str]]:
    """The nights' dates and two lakes with the same full run."""
    first = folder / "shared"
    run(str(first), "simulate", "--preset", "tiny")
    days = Lake(first).landing_days("events")[-nights - 2 : -1]
    run(str(first), "full", "--as-of", str(days[0]), "--config", "tiny", "--set", "trainer.launcher=one_process")
    shutil.copytree(first, folder / "stages")
    return [str(day) for day in days[1:]], {kind: str(folder / kind) for kind in ("shared", "stages")}


def _night(root: str, night: str, master: str, application: str) -> dict[str, Any]:
    extra = json.dumps({"spark.pyspark.python": sys.executable})
    settings = ("trainer.launcher=one_process", f"spark.master={master}", f"spark.application={application}")
    options = [word for setting in (*settings, f"spark.extra={extra}") for word in ("--set", setting)]
    load = round(os.getloadavg()[0], 2)
    began = time.monotonic()
    result = run(root, "nightly", "--date", night, "--config", "tiny", *options)
    seconds = time.monotonic() - began
    local = {stage["name"]: stage["seconds"] for stage in result["stages"] if stage["name"] in LOCAL}
    return {
        "seconds": round(seconds, 2),
        "load_before": load,
        "spark": round(seconds - sum(local.values()), 2),
        "stages": {stage["name"]: stage["seconds"] for stage in result["stages"]},
        "content": content(result),
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
