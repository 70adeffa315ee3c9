"""What every stage is given, and the record it leaves behind."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, TypeVar

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts.configuration import Configuration, Section
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.found import Found, last_full
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.outputs.catalogue import read_output
from nightrank.feature_store.contracts.outputs.output import OtherOutput, StageOutput
from nightrank.feature_store.contracts.storage import Location, locate

Output = TypeVar("Output", bound=StageOutput)


@dataclass(frozen=True)
class StageContext:
    """One run's facts, the same for all of its stages; read from `runs/<id>/run.json`."""

    root: Location
    run_id: str
    kind: str
    """full | nightly"""
    day: date
    seed: int
    fence: int
    config: Configuration
    """Inside a stage it gives the sections that the stage declares."""
    attempt: int = 1
    repetitions: dict[str, int] = field(default_factory=dict)
    """How often each stage was requested again by `nightrank stage NAME` after it was done."""
    found: Found | None = None
    """What the run found when it was opened; None for a stage that runs alone and takes the lake as it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", locate(self.root))

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    @property
    def run_dir(self) -> Location:
        return self.lake.run_dir(self.run_id)

    def stage_file(self, stage: str) -> Location:
        return self.run_dir / "stages" / f"{stage}.json"

    def result_of(self, stage: str) -> "StageResult":
        """The stage's record in this run. DataContractError where it has left none."""
        path = self.stage_file(stage)
        if not path.exists():
            raise DataContractError(
                f"run {self.run_id} has nothing of stage {stage}, which must come first",
                f"run stage {stage} in this run, or all of them by `nightrank full` or `nightrank nightly`",
            )
        return _result_of(path)

    def section(self, name: str, model: type[Section]) -> Section:
        """A section of the configuration (`Configuration.section`)."""
        return self.config.section(name, model)

    def output(self, kind: type[Output]) -> Output:
        """What the stage of that output left in this run."""
        found = self.result_of(kind.STAGE).output
        if not isinstance(found, kind):
            raise DataContractError(f"stage {kind.STAGE} of {self.run_id} has no output", f"run stage {kind.STAGE} again")
        return found

    def has(self, kind: type[StageOutput]) -> bool:
        return self.stage_file(kind.STAGE).exists()

    def repetition(self, stage: str) -> int:
        return self.repetitions.get(stage, 0)

    @property
    def is_back_fill(self) -> bool:
        """The run is of an older date than what is current: it takes data in and changes nothing that is current."""
        return self.found is not None and self.found.newer is not None

    @property
    def without_events(self) -> bool:
        """The night brings no event to learn from: it trains nothing, and the champion makes the lists again."""
        return self.found is not None and self.found.without_events

    def champion_found(self) -> ModelRef | None:
        """The champion that this run found, also after it has promoted its own; None where there was none."""
        if self.found is not None:
            return self.found.champion
        champion = self.lake.champion()
        own = champion is not None and champion.run_id == self.run_id
        return self.lake.champion_replaced_by(champion) if champion is not None and own else champion

    def last_full_found(self) -> ModelRef | None:
        """What the newest other full run up to this date had registered when this run began."""
        return self.found.last_full if self.found is not None else last_full(self.lake, self.run_id, self.day)

    def check_fence(self) -> None:
        """ConflictError if a newer run has taken the lake over. To stop early; what is written goes inside `commit`."""
        fences.check(self.lake, self.run_id, self.fence)

    def commit(self) -> AbstractContextManager[None]:
        """Around every write that others see: inside, no other run can take over the lake. ConflictError if one has."""
        return fences.commit(self.lake, self.run_id, self.fence)


@dataclass
class StageResult:
    """What a stage did, and its output."""

    name: str
    status: str = "done"
    exit_code: int = 0
    attempt: int = 1
    seconds: float = 0.0
    rows_in: int = 0
    rows_out: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    tables: list[dict[str, Any]] = field(default_factory=list)
    """{name, from, to, content_sha256}"""
    counts: dict[str, Any] = field(default_factory=dict)
    output: StageOutput = field(default_factory=OtherOutput)
    inputs: dict[str, Any] = field(default_factory=dict)
    """The inputs it was made from (`contracts.fingerprint.Identities`), as they were when the stage began."""
    fingerprint: str = ""
    """The sha256 of `inputs`."""
    repetition: int = 0

    def save(self, context: StageContext) -> None:
        with context.commit():
            write_json(context.stage_file(self.name), {**vars(self), "output": self.output.sections})


def _result_of(path: Location) -> StageResult:
    """The stage's record. What an older release wrote beside is left out."""
    body = read_json(path)
    known = {each.name: body[each.name] for each in fields(StageResult) if each.name in body}
    return StageResult(**{**known, "output": read_output(known["name"], known.get("output", {}))})


def load_context(run_dir: Location) -> StageContext:
    """The facts of the run in that folder; UsageError where it holds none.

    Its lake is the one the folder is in now, also where the run was made before the lake was moved or copied.
    """
    if not (run_dir / "run.json").exists():
        raise UsageError(
            f"{run_dir} is no run: it holds no run.json", "name a run's folder (LAKE/runs/ID), or a lake and a date"
        )
    return context_of(read_json(run_dir / "run.json"), run_dir.parent.parent)


def context_of(body: Mapping[str, Any], root: Location) -> StageContext:
    """The facts that a run.json of the lake `root` holds."""
    return StageContext(
        root=root,
        run_id=body["run_id"],
        kind=body["kind"],
        day=date.fromisoformat(body["date"]),
        seed=body["seed"],
        fence=body["fence"],
        config=Configuration.from_run(body["config"]),
        attempt=body.get("attempt", 1),
        repetitions=dict(body.get("repetitions", {})),
        found=Found.model_validate(body["found"]) if body.get("found") else None,
    )
