"""The other end of `pipeline.child`: a program that reads one request from stdin and answers with one JSON object."""

import json
import sys
from collections.abc import Callable
from typing import Any

from nightrank.feature_store.contracts.errors import NightrankError


def one_answer(answer: Callable[[str], Any]) -> int:
    """Prints what `answer` makes of stdin, or `error` with the fault; returns the exit code."""
    try:
        body, code = answer(sys.stdin.read()), 0
    except NightrankError as error:
        body, code = {"error": error.to_json()}, error.exit_code
    json.dump(body, sys.stdout)
    return code
