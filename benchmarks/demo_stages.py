"""Seconds of every stage of the demo, each night on a fresh lake: what a user waits for."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "nightrank.pipeline.cli", "demo", "--root", str(root)], check=True, stdout=sys.stderr
        )
        seconds = time.monotonic() - started
        results = [json.loads(path.read_text()) for path in sorted(root.glob("runs/*/result.json"))]
    return {
        "name": "demo_stages",
        "command": "python -m benchmarks.demo_stages",
        "seconds": round(seconds, 1),
        "runs": {result["run_id"]: {stage["name"]: stage["seconds"] for stage in result["stages"]} for result in results},
        "machine": results[0]["machine"],
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
