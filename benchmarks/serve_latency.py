"""How long `nightrank serve` takes to answer: p50, p95 and p99 over HTTP, of known users and of sessions, one after the other.

`python -m benchmarks.serve_latency --root LAKE [--requests N]` starts the service on a free port of this machine; figures go to
benchmarks/results/serve_latency.json.
"""

import argparse
import http.client
import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import lake_root
from nightrank.feature_store.contracts.tables import RECOMMENDATIONS

OUT = Path(__file__).parent / "results" / "serve_latency.json"
WARM_UP = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    rows = lists(Lake(lake_root(options.root)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "nightrank.pipeline.cli", "serve", "--root", options.root, "--port", str(port)]
    server = subprocess.Popen(command)
    try:
        connection = answering(port)
        draw = random.Random(17)
        users, items = sorted({row["user_id"] for row in rows}), sorted({row["item_id"] for row in rows})
        found = {
            "known_user": measured(connection, [get(draw.choice(users)) for _ in range(options.requests)]),
            "session_of_20": measured(connection, [post(draw.sample(items, 20)) for _ in range(options.requests // 4)]),
        }
    finally:
        server.terminate()
        server.wait()
    body = {"machine": machine(), "users": len(users), "items_listed": len(items), "milliseconds": found}
    OUT.write_text(json.dumps(body, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    return 0


def lists(lake: Lake) -> list[dict[str, Any]]:
    release = delta_read.latest_release(lake)
    assert release is not None
    found = delta_read.stored(lake, RECOMMENDATIONS, release.recommendations_version)
    rows: list[dict[str, Any]] = found.to_table(columns=["user_id", "item_id"]).to_pylist()
    return rows


def answering(port: int) -> http.client.HTTPConnection:
    deadline = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            answer(connection, ("GET", "/health", None))
            return connection
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def get(user: str) -> tuple[str, str, str | None]:
    return "GET", f"/recommend?user={user}", None


def post(history: list[str]) -> tuple[str, str, str | None]:
    return "POST", "/recommend", json.dumps({"history": history})


def answer(connection: http.client.HTTPConnection, request: tuple[str, str, str | None]) -> None:
    method, path, body = request
    connection.request(method, path, body, {"content-type": "application/json"})
    got = connection.getresponse()
    got.read()
    assert got.status == 200, got.status


def measured(connection: http.client.HTTPConnection, requests: list[tuple[str, str, str | None]]) -> dict[str, float]:
    took = []
    for request in requests[:WARM_UP] + requests:
        began = time.perf_counter()
        answer(connection, request)
        took.append(1000 * (time.perf_counter() - began))
    values = np.array(took[WARM_UP:])
    return {f"p{at}": round(float(np.percentile(values, at)), 2) for at in (50, 95, 99)} | {"requests": len(values)}


if __name__ == "__main__":
    raise SystemExit(main())
