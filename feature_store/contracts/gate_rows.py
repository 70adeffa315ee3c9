"""Hold-out rows of nights that were too few to decide: what each night's gate leaves for those of the next ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from nightrank.feature_store.contracts.files import read_json, sha256_of
from nightrank.feature_store.contracts.lake import Lake

FILE: Final = "gate_rows.json"
"""In the run's folder, written before `gate.json`."""
DECIDED: Final = ("first", "promoted", "rejected")


@dataclass(frozen=True)
class EarlierRows:
    """The rows of one earlier night, as its run left them."""

    run_id: str
    body: dict[str, Any]

    @property
    def identity(self) -> list[str]:
        """Its run, and what its rows are: dates, models and every number."""
        return [self.run_id, sha256_of(self.body)]


def earlier_rows(lake: Lake, date: str, champion: str) -> Iterator[EarlierRows]:
    """The nights before `date` that a gate of that date may pool, newest first.

    They were measured against the same champion; the first that was not, or that was decided, ends them. Of a repeated date
    the latest attempt counts alone.
    """
    found: dict[str, tuple[float, EarlierRows, str]] = {}
    for path in lake.root.glob(f"runs/*/{FILE}"):
        rows, decision = EarlierRows(path.parent.name, read_json(path)), path.with_name("gate.json")
        day = str(rows.body["date"])
        if day >= date or not decision.exists():
            continue
        age = decision.entry().modified
        if day not in found or found[day][0] < age:
            found[day] = (age, rows, str(read_json(decision)["decision"]))
    for _, (_, rows, verdict) in sorted(found.items(), reverse=True):
        if rows.body["champion"] != champion or verdict in DECIDED:
            return
        yield rows
