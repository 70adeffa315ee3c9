"""What one limit came to: its figure beside its bound, and a sentence that a person reads."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["passed", "failed", "not_judged"]


@dataclass(frozen=True)
class Finding:
    limit: str
    """The setting's name; of slices with the slice behind a colon."""
    value: float | None
    bound: float | None
    n: int
    """Rows that it rests on."""
    verdict: Verdict
    sentence: str

    @property
    def failed(self) -> bool:
        return self.verdict == "failed"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def at_most(limit: str, value: float, bound: float, n: int, what: str) -> Finding:
    """Failed where the value is above the bound, or no number."""
    return _judged(limit, value, bound, n, value <= bound, f"{what} {value:.3f}, at most {bound:g}")


def at_least(limit: str, value: float, bound: float, n: int, what: str) -> Finding:
    return _judged(limit, value, bound, n, value >= bound, f"{what} {value:.3f}, at least {bound:g}")


def not_judged(limit: str, n: int, why: str, bound: float | None = None) -> Finding:
    return Finding(limit, None, bound, n, "not_judged", why)


def _judged(limit: str, value: float, bound: float, n: int, holds: bool, sentence: str) -> Finding:
    return Finding(limit, value, bound, n, "passed" if holds else "failed", sentence)
