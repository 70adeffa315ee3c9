"""Heartbeats written by hand."""

from typing import Any


def beat(rank: int, ended: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    body = {"rank": rank, "pid": 1, "host": "h", "at": 1.0, "step": 7, "doing": "fit", "collectives": 5, "waiting_in": None}
    return {**body, "still_seconds": 0.0, "ended": ended, **changes}
