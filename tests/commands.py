"""nightrank as its users call it: a process of its own, its one JSON object, and what a run left by content."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.failpoints import EACH_ONCE
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import RUN_DIR

MOST_KILLS: Final = 120


def command(lake: Lake, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, "--root", str(lake.root), "--json"]


def environment() -> dict[str, str]:
    """This process' own, without the mark of a run that tests may be part of."""
    return {name: value for name, value in os.environ.items() if name != RUN_DIR}


def nightrank(lake: Lake, *arguments: str, expect: int | tuple[int, ...] = 0, **variables: str) -> dict[str, Any]:
    """The command's one object on stdout. Its words are shown where the exit code is another than expected."""
    done = subprocess.run(command(lake, *arguments), capture_output=True, text=True, env={**environment(), **variables})
    assert done.returncode in (expect if isinstance(expect, tuple) else (expect,)), (
        f"{done.returncode} from {' '.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    )
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def hashes(lake: Lake, result: dict[str, Any]) -> dict[str, str]:
    """Content of every table and of the weights. Ids of snapshots and bundles name files, which two lakes name differently."""
    tables = {table["name"]: table["content_sha256"] for stage in result["stages"] for table in stage["tables"]}
    manifest = (lake.root / "models" / result["model"]["manifest_sha256"] / "manifest.json").read_json()
    return {**tables, "weights": manifest["weights.safetensors"]}


def until_done(lake: Lake, arguments: tuple[str, ...], died_at: Path) -> dict[str, Any]:
    """The same command again and again, each time killed at the next boundary, until none is left."""
    for _ in range(MOST_KILLS):
        before = died_at.read_text().split()
        result = nightrank(lake, *arguments, expect=(0, 1, 6, 7), **{EACH_ONCE: str(died_at)})
        if result["exit_code"] in (0, 7):
            return result
        new = died_at.read_text().split()[len(before) :]
        assert new, f"it failed at no failpoint: {result['error']}"
        assert any(word in json.dumps(result["error"]) for word in ("SIGKILL", "lost")), (new, result["error"])
    raise AssertionError(f"not done after {MOST_KILLS} kills")
