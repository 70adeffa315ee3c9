"""The released model in a process of its own, which imports torch and answers one history at a time."""

import json
import subprocess
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

from nightrank.feature_store.contracts.errors import DependencyUnreachable, error_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import local_folder
from nightrank.pipeline.child import command_of

PROGRAM: Final = command_of("nightrank.ranker.bundle.answering")


class Worker:
    """Of one bundle; a process that has died is started again. DataContractError where the bundle is gone or broken."""

    def __init__(self, lake: Lake, manifest: str, hidden: Sequence[str]) -> None:
        folder = str(local_folder(lake.bundles / manifest))
        self._opening = {"folder": folder, "manifest": manifest, "hidden": [*hidden]}
        self._lock, self._ended = Lock(), False
        self._process = self._started()

    def listed(self, history: Sequence[str], k: int) -> tuple[list[tuple[str, float]], bool]:
        """Pairs (item id, score), best first; and whether the model knows an item of the history. DependencyUnreachable after
        `end`, or where the process dies again."""
        with self._lock:
            answer = None if self._ended else _told(self._process, request := {"history": [*history], "k": k})
            if answer is None and not self._ended:
                _close(self._process)
                self._process = self._started()
                answer = _told(self._process, request)
        if answer is None:
            raise DependencyUnreachable("the process with the model has ended", "ask again")
        return [(item, score) for item, score in answer["list"]], answer["known"]

    def end(self) -> None:
        with self._lock:
            self._ended = True
            _close(self._process)

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opened = _told(process, self._opening)
        if opened is None or "error" in opened:
            _close(process)
            error = (opened or {}).get("error", {"code": "", "message": "the model could not be opened", "remedy": ""})
            raise error_of(error)
        return process


def _told(process: subprocess.Popen[str], request: dict[str, Any]) -> dict[str, Any] | None:
    """Its answer; None where it is gone."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:
        return None
    return json.loads(line) if line else None


def _close(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
