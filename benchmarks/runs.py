"""nightrank's commands as benchmarks call them, what a run left by content, and how a result is told."""

import json
import subprocess
import sys
from pathlib import Path
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


def tell(result: dict[str, Any], out: Path | None) -> None:
    """The result is on stdout, and in the file where one is named."""
    text = json.dumps(result, indent=2)
    print(text)
    if out:
        out.write_text(text + "\n")
