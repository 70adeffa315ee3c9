"""Our end of the conversation with a peer that runs in an environment of its own (see `conversation`)."""

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Message = dict[str, Any]
HERE: Final = Path(__file__).parent
SCRIPTS: Final = {"rectools": HERE / "rectools_sasrec.py", "replay": HERE / "replay_sasrec.py"}


def add_pythons(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer-python", nargs="*", default=[], help="NAME=PYTHON of each peer's own environment")


def pythons(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, str]:
    """Peer -> Python, as `--peer-python` names them; ends the program where it names something else."""
    found = dict(given.split("=", 1) for given in options.peer_python if given.partition("=")[0] in SCRIPTS)
    if len(found) != len(options.peer_python):
        parser.error(f"--peer-python takes {' and '.join(f'{name}=PYTHON' for name in SCRIPTS)}")
    return found


class Peer:
    """A peer's process, training as ordered; it waits wherever it has reported and not been answered."""

    def __init__(self, python: Path, script: Path, order: Message) -> None:
        command = [str(python), str(script)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._say(order)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def hear(self) -> Message:
        """The next report. RuntimeError where the peer ended without one; what it said of that is on stderr."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # a library may print while it is imported, before the conversation has taken stdout
                heard: Message = json.loads(line)
                return heard
        raise RuntimeError(f"the peer ended with status {self._process.wait()}: see its last lines on stderr")

    def answer(self, keep: bool, stop: bool) -> None:
        self._say({"keep": keep, "stop": stop})

    def finish(self, judge: Callable[[Message], tuple[bool, bool]]) -> Message:
        """Answers every report with (keep, stop) by `judge`; the peer's last word."""
        while "done" not in (heard := self.hear()):
            self.answer(*judge(heard))
        return heard

    def _say(self, message: Message) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
