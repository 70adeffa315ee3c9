"""The reference `full`: a full training every night, in a lake beside the one that is replayed, which it leaves as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.holds import held_days
from nightrank.feature_store.contracts.lake import LANDING_KINDS, Lake
from nightrank.feature_store.contracts.storage import Location, local_copy
from nightrank.pipeline.replay.curve import Figure, day_rows, figure_of, run_of, train_seconds
from nightrank.pipeline.run import request as requests

OVERRIDES: Final = (
    "mlflow.tracking_uri=null",
    "operations.prometheus_file=null",
    "operations.openlineage=null",
    "guards.enabled=false",
)
"""The lake beside has a registry of its own and tells nobody. Which days are held was decided in the other lake."""

Run = Callable[[Location, str, date], dict[str, Any]]
"""(root, kind, day) -> the run's result."""


def beside(root: Location) -> Location:
    """The folder of the lake beside. UsageError where it cannot be one."""
    if not root.is_local:
        raise UsageError(
            f"the full retrains of {root} need a lake beside it on a disk", "give a folder by --beside, or --references static"
        )
    return root.with_name(f"{root.name}-full-retrain")


@dataclass(frozen=True)
class FullLake:
    source: Lake
    root: Location
    run: Run
    """Runs there, with `OVERRIDES`."""

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    def night(self, day: date) -> dict[str, Any] | None:
        """The result of a full run as of the newest day before, or of the night after it, where that has failed; else None.

        Afterwards the night of `day` in the lake beside has measured the full run's model. What is done is not done again.
        """
        before, here = _days_before(self.source, day), self.source.landing_days("events")
        if day not in here or day in held_days(self.source) or not before:
            return None
        self.land([*before, day])
        for kind, when in (("full", before[-1]), ("nightly", day)):
            result = self.run(self.root, kind, when)
            if result["status"] == "failed":
                return result
        return None

    def land(self, days: list[date]) -> None:
        """The landing files of these days are there. Held days are not among them, so no run there can take them in."""
        for kind in LANDING_KINDS:
            for day in self.source.landing_days(kind):
                if day <= days[-1] and (kind != "events" or day in days):
                    _copied(self.source.landing_day(kind, day), self.lake.landing_day(kind, day))
        _copy(self.source.landing_meta_path, self.lake.landing_meta_path)


def measured(source: Lake, root: Location, days: list[date]) -> dict[date, tuple[Figure, float]]:
    """What the full model of the day before had on each date, and the seconds of its training, from the lake at `root`.

    Left out is a date that was not measured there, or by a model of another date than the newest before it.
    """
    found = {day: _measured(source, Lake(root), day) for day in days}
    return {day: pair for day, pair in found.items() if pair is not None}


def _measured(source: Lake, lake: Lake, day: date) -> tuple[Figure, float] | None:
    result = requests.read_result(lake.run_dir(run_of(lake, "nightly", day)))
    rows = day_rows(result)
    if result is None or "last_full" not in rows:
        return None
    model = read_json(lake.run_dir(result["run_id"]) / "run.json")["found"]["last_full"]
    if model["date"] != _days_before(source, day)[-1].isoformat():
        return None
    full = requests.read_result(lake.run_dir(model["run_id"])) or {"stages": []}
    return figure_of(rows["last_full"]), train_seconds(full) or 0.0


def _days_before(source: Lake, day: date) -> list[date]:
    """Landing days of events before it, held ones left out."""
    held = held_days(source)
    return [each for each in source.landing_days("events") if each < day and each not in held]


def _copied(folder: Location, target: Location) -> None:
    for path, entry in folder.walk():
        there = target / path.below(folder)
        found = there.find()
        if found is None or found.size != entry.size:
            _copy(path, there)


def _copy(path: Location, target: Location) -> None:
    target.parent.mkdir()
    target.upload(local_copy(path))
