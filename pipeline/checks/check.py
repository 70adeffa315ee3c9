"""A check of one hand-off: a function that says what it saw, or raises what does not hold."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.vocabulary_lineage import is_older

AGAIN = "run the same command again, or repeat the run with --redo"


class NotApplicable(Exception):
    """This run has nothing of the kind to check; the message says why."""


@dataclass(frozen=True)
class Check:
    name: str
    status: Literal["ok", "failed", "skipped"]
    seen: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Subject:
    """One run, opened for checking."""

    lake: Lake
    run_id: str

    @property
    def folder(self) -> Location:
        return self.lake.run_dir(self.run_id)

    @cached_property
    def run(self) -> dict[str, Any]:
        return dict(read_json(self.folder / "run.json"))

    @cached_property
    def config(self) -> Configuration:
        return Configuration.from_run(self.run["config"])

    @cached_property
    def result(self) -> dict[str, Any]:
        return dict(read_json(self.folder / "result.json"))

    @property
    def without_events(self) -> bool:
        """The run was a night that trained nothing: the model it found stayed."""
        return bool((self.run.get("found") or {}).get("without_events"))

    @cached_property
    def releases(self) -> list[Release]:
        return delta_read.releases(self.lake)

    @property
    def release(self) -> Release:
        """The release this run made."""
        mine = [release for release in self.releases if release.run_id == self.run_id]
        if not mine:
            raise NotApplicable(f"the run ended as {self.result['status']} and made no release")
        return mine[-1]

    def section(self, name: str) -> Any:
        """A section of result.json; NotApplicable where the run did not come that far."""
        value = self.result.get(name)
        if not value:
            raise NotApplicable(f"the run ended as {self.result['status']} without {name}")
        return value

    def of_this_vocabulary(self, snapshot_id: str) -> None:
        """NotApplicable where `nightrank reset-vocabulary` has emptied the tables that the snapshot is of."""
        if is_older(self.lake, snapshot_id):
            raise NotApplicable("the vocabulary was reset since, and the tables of then are gone")

    def expired(self, keep: int) -> bool:
        """Whether so many releases are newer that maintenance may have taken this run's files."""
        return len([r for r in self.releases if r.date > self.run["date"]]) >= keep


def expect(holds: bool, fault: str) -> None:
    """DataContractError with `fault` unless it holds."""
    if not holds:
        raise DataContractError(fault, AGAIN)
