"""A program that imports torch, as a process of its own: one JSON object in, one out. The pipeline imports no engine."""

import json
import subprocess
import sys
from typing import Any

from nightrank.feature_store.contracts.errors import NightrankError, error_of


def command_of(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def answered(module: str, request: str, failed: str) -> dict[str, Any]:
    """What the program answered. The error that it told of is raised; where it told nothing, a NightrankError that begins with
    `failed`."""
    done = subprocess.run(command_of(module), input=request, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise NightrankError(failed, done.stderr[-500:]) from None
    if "error" in answer:
        raise error_of(answer["error"])
    return answer
