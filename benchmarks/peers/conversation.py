"""What a peer's process hears and says: one JSON object a line on stdin and stdout. The standard library only.

Heard first, the order: {"train": file of `user item item ...` lines, "known": the same with what is known when lists are asked
for, or null, "last_known": the same for the lists after the last epoch, or null, "every": epochs from report to report, 0 for
none, "epochs": at most so many, "steps": those of an epoch, or null for all, "seed", "threads", "precision": Lightning's name,
"settings": the peer's own arguments}.
Said every `every` epochs, the report: {"epoch", "steps", "seconds": [each epoch so far], "losses": [means over the targets],
"targets": [each epoch so far], "lists": {user: [20 items]} or null}. Heard after each: {"keep": these weights are the best so
far, "stop": enough}.
Said last: {"done": true, "version", "parameters", "epoch": that of the weights, "steps", "seconds", "losses", "lists": of
"last_known", by the best weights if some were kept, or null}.
"""

import copy
import json
import os
import sys
import time
from collections.abc import Callable

LENGTH = 20
"""Items a list."""


class Conversation:
    """Owns stdout: whatever a library prints goes to stderr from here on."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def hear(self) -> dict:
        return json.loads(sys.stdin.readline())

    def say(self, message: dict) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()


class Course:
    """One training as ordered: its epochs timed, its lists judged from time to time, its best weights kept."""

    def __init__(self, conversation: Conversation, order: dict) -> None:
        self.order = order
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.targets: list[int] = []
        self.steps = 0
        self.kept: dict | None = None
        self.kept_epoch = 0
        self._conversation = conversation

    def __deepcopy__(self, _memo: dict) -> "Course":
        """RecTools trains with a copy of its trainer; there is one conversation."""
        return self

    def begin_epoch(self) -> None:
        self._total, self._targets, self._started = 0.0, 0, time.perf_counter()

    def end_step(self, loss: float, targets: int) -> None:
        """`loss` is the mean over the batch's targets."""
        self._total, self._targets, self.steps = self._total + loss * targets, self._targets + targets, self.steps + 1

    def end_epoch(self, state: Callable[[], dict], lists: Callable[[str], dict]) -> bool:
        """True: enough. `state` gives the weights of now, `lists` the lists for a file of known items."""
        self.seconds.append(time.perf_counter() - self._started)
        self.losses.append(self._total / max(1, self._targets))
        self.targets.append(self._targets)
        epoch = len(self.seconds)
        print(f"epoch {epoch}: {self.seconds[-1]:.1f} s, loss {self.losses[-1]:.4f}", file=sys.stderr, flush=True)
        if not self.order["every"] or epoch % self.order["every"]:
            return False
        known = self.order["known"]
        report = {"epoch": epoch, "steps": self.steps, "seconds": self.seconds, "losses": self.losses}
        self._conversation.say({**report, "targets": self.targets, "lists": lists(known) if known else None})
        answer = self._conversation.hear()
        if answer["keep"]:
            self.kept, self.kept_epoch = copy.deepcopy(state()), epoch
        return bool(answer["stop"])

    def close(self, version: str, parameters: int, load: Callable[[dict], object], lists: Callable[[str], dict]) -> None:
        """The last word, by the best weights where some were kept."""
        if self.kept is not None:
            load(self.kept)
        last = self.order["last_known"]
        done = {"done": True, "version": version, "parameters": parameters, "epoch": self.kept_epoch or len(self.seconds)}
        told = {**done, "steps": self.steps, "seconds": self.seconds, "losses": self.losses}
        self._conversation.say({**told, "lists": lists(last) if last else None})
