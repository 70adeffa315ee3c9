"""nightrank's commands as benchmarks call them, and what a run left by content."""

import json
import subprocess
import sys
from typing import Any


def run(root: str, *arguments: str) -> dict[str, Any]:
    """The command's one object; a rejected challenger is a result. SystemExit where it fails."""
    command = [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, "--root", root, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    if done.returncode not in (0, 7):
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}")
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def content(result: dict[str, Any]) -> dict[str, str]:
    """The content hash of each table that the run left."""
    return {table["name"]: table["content_sha256"] for stage in result["stages"] for table in stage["tables"]}
