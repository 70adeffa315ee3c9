"""Numbers and names as a reader wants them. Pure; `None` is always an en dash."""

import re
from typing import Any, Final

NONE: Final = "–"

RECOMMENDER: Final = {
    "challenger": "Challenger (this run)",
    "champion": "Champion (live before)",
    "last_full": "Last full model",
    "item_cooccurrence": "Item co-occurrence",
    "als": "ALS matrix factorisation",
    "popular_7d": "Most popular recently",
    "popular": "Most popular",
    "truth": "Truth (taste alone)",
}
"""In reading order: ours, the baselines, and what only a simulated market has, the taste its visits are drawn from. That is the
ceiling where a session begins; inside one, a model that has seen its visits can be better."""
ROLE: Final = {"challenger": "ours", "champion": "before", "last_full": "before", "truth": "truth"}
METRIC: Final = {"ndcg": "NDCG", "recall": "Recall", "mrr": "MRR", "map": "MAP", "hit_rate": "Hit rate"}
STATUS: Final = {
    "done": "done",
    "already_done": "already done",
    "nothing": "nothing to do",
    "failed": "failed",
    "gate_rejected": "challenger rejected",
    "held": "the day is held back",
    "running": "still running when this page was made",
}
TONE: Final = {
    "done": "good",
    "already_done": "good",
    "nothing": "calm",
    "failed": "bad",
    "gate_rejected": "warn",
    "held": "warn",
}
SPLIT: Final = {"day": "the whole date, before it was learnt"}


def split(name: str) -> str:
    return SPLIT.get(name, name)


def count(value: Any) -> str:
    """1234567 -> 1,234,567"""
    return NONE if value is None else f"{int(value):,}"


def figure(value: float | None) -> str:
    """Four significant digits or so: metrics lie between 0 and 1."""
    if value is None:
        return NONE
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.4f}".replace("-", "−")


def seconds(value: float | None) -> str:
    """0.4 s, 42 s, 3 min 05 s, 1 h 02 min"""
    if value is None:
        return NONE
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(value: float | None) -> str:
    """Bytes in the unit that leaves one to three digits."""
    if not value:
        return NONE
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def short(identifier: str | None, length: int = 10) -> str:
    """The head of a hash or a long id."""
    if not identifier:
        return NONE
    return identifier if len(identifier) <= length + 2 else f"{identifier[:length]}…"


def plain(name: str) -> str:
    """broken_row -> broken row"""
    return name.replace("_", " ")


def part(name: str) -> str:
    """A slice of a split: history_6_20 -> histories of 6 to 20 events"""
    if match := re.fullmatch(r"history_(\d+)_(\d+)", name):
        return f"histories of {match.group(1)} to {match.group(2)} events"
    if match := re.fullmatch(r"history_over_(\d+)", name):
        return f"histories over {match.group(1)} events"
    return plain(name)


def recommender(name: str) -> str:
    return RECOMMENDER.get(name, plain(name).capitalize())


def recommender_order(name: str) -> tuple[int, str]:
    """Sorts recommenders in the order of `RECOMMENDER`; an unknown one is before the truth."""
    order = list(RECOMMENDER)
    return (order.index(name) if name in RECOMMENDER else order.index("truth"), name)


def metric(name: str, k: int | None) -> str:
    """ndcg, 10 -> NDCG@10"""
    base, _, inside = name.partition("@")
    label = METRIC.get(base, plain(base).capitalize())
    at = inside or (str(k) if k is not None else "")
    return f"{label}@{at}" if at else label
