"""A few users, with what they did and what they were given. Users are A, B, C; ids reach the page only by `ids.in_report`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from nightrank.pipeline.report import wording

MOST_USERS: Final = 6
NEWEST: Final = 8


@dataclass(frozen=True)
class SampleUser:
    label: str
    history: tuple[str, ...]
    """Newest first."""
    earlier: int
    items: tuple[tuple[int, str, float], ...]
    """(rank, title, share of the best score in percent)"""
    fallback: str | None
    id: str | None = None


def sample_users(rows: Sequence[Mapping[str, Any]]) -> tuple[SampleUser, ...]:
    """From `sample_users.json`; its `user` field is not looked at, `user_id` is there where the page may show it."""
    return tuple(_user(f"User {letter}", row) for letter, row in zip(ascii_uppercase, rows[:MOST_USERS], strict=False))


def _user(label: str, row: Mapping[str, Any]) -> SampleUser:
    history = [_title(title) for title in row.get("history") or ()]
    offered = list(row.get("list") or ())
    shares = _shares([float(item.get("score") or 0.0) for item in offered])
    items = tuple(
        (i + 1, _title(item.get("title")), share) for i, (item, share) in enumerate(zip(offered, shares, strict=True))
    )
    fallback = row.get("fallback")
    return SampleUser(
        label,
        tuple(reversed(history[-NEWEST:])),
        max(0, len(history) - NEWEST),
        items,
        wording.plain(str(fallback)) if fallback else None,
        None if row.get("user_id") is None else str(row["user_id"]),
    )


def _shares(scores: Sequence[float]) -> list[float]:
    """Scores are logits, any sign: the best is 100, the worst of the list 25, so that a bar shows steps and never nothing."""
    if not scores:
        return []
    low, high = min(scores), max(scores)
    width = high - low
    return [100.0 if width == 0 else round(25 + 75 * (score - low) / width, 1) for score in scores]


def _title(value: Any) -> str:
    return str(value) if value else "untitled item"
