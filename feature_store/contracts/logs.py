"""Logs: one line an event, with its run and its stage, free of secrets. What is printed is for the user of a command.

Under a runner a process writes the words alone to stderr: the runner files each line, those of engines too, with time, run and
stage (`file_log`). A process that was started alone writes all of it itself.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars

from nightrank.feature_store.contracts.redaction import Redactor, redactor

RUN_DIR: Final = "NIGHTRANK_RUN_DIR"
"""In the environment of every process a run starts, so that what an ended runner left behind can be told from others."""
PREFIX: Final = re.compile(r"^\S+Z( \S+)* \| ")
"""The prefix of a filed line."""
RANK: Final = re.compile(r" rank-(\d+) ")
Event = MutableMapping[str, Any]


class Hide:
    """The processor that takes secrets out of everything that is logged."""

    def __init__(self, redact: Callable[[], Redactor]) -> None:
        self._redact = redact

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        redact = self._redact()
        return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}


class _Stderr:
    """Looks sys.stderr up for every line: tests and hosts of several stages change it."""

    def info(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    warning = error = info


@lru_cache(maxsize=1)
def _known() -> Redactor:
    return redactor()


def whole_line(logger: Any, method: str, event: Mapping[str, Any]) -> str:
    """`2024-01-08T01:02:03Z full-2024-01-08 train | words`."""
    facts = [str(event[key]) for key in ("timestamp", "run", "stage") if event.get(key)]
    rank = [f"rank-{event['rank']}"] if "rank" in event else []
    return f"{' '.join(facts + rank)} | {event['event']}"


def _line(logger: Any, method: str, event: Mapping[str, Any]) -> str:
    return str(event["event"]) if os.environ.get(RUN_DIR) else whole_line(logger, method, event)


_TIME: Final = structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True)
log: Final[Any] = structlog.wrap_logger(
    _Stderr(), processors=[merge_contextvars, _TIME, Hide(_known), _line], wrapper_class=structlog.BoundLogger
)
"""`log.info("words")` in a stage or a worker."""


def within(run: str, stage: str, **facts: Any) -> AbstractContextManager[None]:
    """Inside, what this thread logs belongs to the stage of the run."""
    return bound_contextvars(run=run, stage=stage, **facts)


def json_line(logger: Any, method: str, event: Mapping[str, Any]) -> str:
    """`{"time": …, "run": …, "stage": …, "rank": …, "event": "words"}`; `rank` for a line of a training worker."""
    words = str(event["event"])
    prefix = PREFIX.match(words)
    rank = RANK.search(prefix.group()) if prefix else None
    facts = {"time": event["timestamp"], "run": event["run"], "stage": event["stage"]}
    ranked = {"rank": int(rank.group(1))} if rank else {}
    return json.dumps({**facts, **ranked, "event": PREFIX.sub("", words, count=1)}, ensure_ascii=False)


def file_log(file: TextIO, run: str, stage: str, redact: Redactor, log_format: str = "text") -> Any:
    """A logger whose lines go to the file, each with time, run and stage; `log_format` is text or json."""
    processors: list[Any] = [_TIME, Hide(lambda: redact), json_line if log_format == "json" else whole_line]
    logger = structlog.wrap_logger(structlog.WriteLogger(file), processors=processors, wrapper_class=structlog.BoundLogger)
    return logger.bind(run=run, stage=stage)


def relay(line: str, redact: Redactor) -> None:
    """A child's line to this process's own log as it is, free of secrets: the child has said time and rank already."""
    _Stderr().info(redact(line.rstrip("\n")))


def words_of(line: str) -> str:
    """What was logged, without what was filed with it."""
    if line.startswith('{"time": '):
        return str(json.loads(line)["event"])
    return PREFIX.sub("", line, count=1)
