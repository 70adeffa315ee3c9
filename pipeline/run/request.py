"""Which run a command means: its id, its date, and whether there is anything to do. No stage is started here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.erasures import check_none_begun
from nightrank.feature_store.contracts.errors import NothingToDo, UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import LANDING_KINDS, Lake
from nightrank.feature_store.contracts.landing_files import any_rows, has_rows, landing_files
from nightrank.feature_store.contracts.model_ref import ModelRef, load_model_ref
from nightrank.feature_store.contracts.settings import MlflowSettings
from nightrank.feature_store.contracts.storage import Location, locate
from nightrank.feature_store.contracts.vocabulary_lineage import check_no_reset_begun, is_older, refuse_older_lineage

FINISHED: Final = ("done", "gate_rejected")
"""Statuses after which the same command finds nothing left to do."""


@dataclass(frozen=True)
class RunRequest:
    """A full or a nightly run of one lake on one date, with its whole configuration."""

    root: Location
    kind: str
    day: date
    config: Configuration
    redo: bool = False
    because: str = ""
    """Why a full training stands in place of a night; empty for what is run as it was called."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", locate(self.root))

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    @property
    def config_sha256(self) -> str:
        """Of the configuration as it is shown: a new password does not change it."""
        return self.config.sha256

    def champion_found(self) -> ModelRef | None:
        """The champion that the run would find if it were opened now."""
        return self.lake.champion()


def run_id_of(request: RunRequest) -> str:
    """`<kind>-<date>`, the latest repetition of it, or with `redo` a new one (`-r2`, …) if that has finished."""
    first = f"{request.kind}-{request.day.isoformat()}"
    latest, number = first, 1
    while request.lake.run_dir(f"{first}-r{number + 1}").exists():
        number += 1
        latest = f"{first}-r{number}"
    if request.redo and finished(request.lake.run_dir(latest)):
        return f"{first}-r{number + 1}"
    return latest


def due_again(request: RunRequest) -> RunRequest:
    """The request as `redo` where the date's run had no event to learn from, and events landed since; and where the model of a
    full run is of an earlier vocabulary."""
    folder = request.lake.run_dir(run_id_of(request))
    if request.redo or not finished(folder):
        return request
    made = folder / "model_ref.json"
    if request.kind == "full" and made.exists() and is_older(request.lake, load_model_ref(made).snapshot_id):
        return replace(request, redo=True)
    had_none = (read_json(folder / "run.json").get("found") or {}).get("without_events")
    came = had_none and any_rows(request.lake, "events", request.day)
    return replace(request, redo=True) if came else request


def read_result(run_dir: Location) -> dict[str, Any] | None:
    path = run_dir / "result.json"
    return dict(read_json(path)) if path.exists() else None


def finished(run_dir: Location) -> bool:
    result = read_result(run_dir)
    return result is not None and result["status"] in FINISHED


def last_landing_day(lake: Lake) -> date:
    """The date of a full run that was not given one."""
    lake.landing_meta()
    days = [day for kind in LANDING_KINDS for day in lake.landing_days(kind)]
    if not days:
        raise NothingToDo(f"no landing day under {lake.root / 'landing'}", "run `nightrank import` or `nightrank simulate`")
    return max(days)


def landed_since(lake: Lake, day: date) -> date | None:
    """The first day from this one on of which landing files of events are there. A later day says that this one brings none."""
    lake.landing_meta()
    return next((found for found in lake.landing_days("events") if found >= day), None)


def check_ready(request: RunRequest) -> None:
    """UsageError where the lake cannot take this run at all; ConfigError where its tracker needs a disk; SafetyRefusal where a
    night's champion is of an earlier vocabulary. Reads only."""
    request.lake.landing_meta()
    check_none_begun(request.lake)
    check_no_reset_begun(request.lake)
    request.config.section("mlflow", MlflowSettings).address(request.lake.mlflow)
    if request.kind == "nightly" and not _has_model(request.lake):
        raise UsageError(
            f"a night needs a live model, and no full run has finished on {request.root}",
            "run `nightrank full` first",
        )
    champion = request.lake.champion()
    if request.kind == "nightly" and champion is not None:
        refuse_older_lineage(request.lake, champion)


def check_landed(request: RunRequest) -> None:
    """NothingToDo where no row of any kind landed for this run."""
    if not any(landed(request)):
        raise NothingToDo(
            f"nothing landed for {_span(request)}",
            "lists stay as they are; the next day runs as usual (a catalogue of this date: `nightrank import items --date`)",
        )


def landed(request: RunRequest) -> Iterator[Location]:
    """Landing files with rows in them that this run takes in. A file that cannot be read counts: ingest names its fault."""
    for kind in LANDING_KINDS:
        for day in request.lake.landing_days(kind):
            if day == request.day or (request.kind == "full" and day <= request.day):
                yield from filter(has_rows, landing_files(request.lake, kind, [day]))


def newer_than(request: RunRequest) -> date | None:
    """The date that is current, where it is newer than the run's: such a run takes data in and changes no list."""
    from nightrank.feature_store.current import newer_date

    return newer_date(request.lake, request.day)


def _has_model(lake: Lake) -> bool:
    """The gate has promoted one, or a full run has ended."""
    return lake.champion() is not None or any(finished(folder) for folder in (lake.root / "runs").glob("full-*"))


def _span(request: RunRequest) -> str:
    return f"{request.day}" if request.kind == "nightly" else f"any day up to {request.day}"
