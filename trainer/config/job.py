"""The job: everything that a training worker is given, written by the stage as `R/train/job.json`."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import ProcessId
from nightrank.feature_store.contracts.secrets import masked
from nightrank.feature_store.contracts.settings import SparkSettings, TextSettings
from nightrank.feature_store.contracts.snapshot import Parent
from nightrank.feature_store.contracts.storage import Location
from nightrank.trainer.config.ctr import CtrTrainerConfig
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.config.tune import PrunerConfig


def _process(value: Any) -> Any:
    return ProcessId(**value) if isinstance(value, dict) else value


Launcher = Annotated[ProcessId, BeforeValidator(_process)]


class Trial(FrozenConfig):
    """Makes of a job one trial of `nightrank tune`: phase `fit` alone, which the pruner may end early."""

    study: str
    """The study's folder, relative to the lake."""
    number: int
    pruner: PrunerConfig


class Job(FrozenConfig):
    root: str
    run_id: str
    kind: Literal["full", "nightly"]
    date: str
    seed: int
    attempt: int
    fence: int = 0
    """Of the run that started it; 0 where it is under no lease, as a trial does."""
    snapshot: str
    """Path of the snapshot's JSON."""
    config: TrainerConfig
    spark: SparkSettings = SparkSettings()
    """Used by the Spark launcher alone."""
    parent: Parent | None = None
    trial: Trial | None = None
    text: TextSettings = TextSettings()
    """The encoder of the snapshot's text vectors; opened where the ranker tunes it."""
    ctr: CtrTrainerConfig | None = None
    """Makes of a job the training of a click ranker; `config` then only says how it is run."""
    fingerprint: str = ""
    """Of the stage, as it was when the job was made; a trial has none."""
    repetition: int = 0
    """How often the stage was requested again: such a training starts from the beginning."""
    launcher: Launcher
    """The process that watches the ranks: they end when it is gone."""

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    @property
    def folder(self) -> Location:
        """The job, the ranks' heartbeats and stacks, the result: `R/train`, `R/train_ctr`, or a trial's in its study."""
        if self.trial is not None:
            return self.lake.root / self.trial.study / f"trial-{self.trial.number:04d}"
        return self.lake.run_dir(self.run_id) / ("train" if self.ctr is None else "train_ctr")

    @property
    def path(self) -> Location:
        return self.folder / "job.json"

    @property
    def ranks(self) -> Location:
        return self.folder / "ranks"

    @property
    def result_path(self) -> Location:
        return self.folder / "result.json"

    @property
    def checkpoints(self) -> Location:
        if self.trial is not None:
            return self.folder / "checkpoints"
        name = self.run_id if self.ctr is None else f"{self.run_id}-ctr"
        return self.lake.root / "checkpoints" / (f"{name}.{self.repetition}" if self.repetition else name)

    @property
    def answer(self) -> list[Any]:
        """What a result must name to be this job's."""
        return [self.fingerprint, self.repetition]

    def save(self) -> None:
        """Without secrets: workers need none, and the Spark launcher takes its own from the environment."""
        write_json(self.path, masked(self.model_dump(mode="json")))


def load_job(path: Location) -> Job:
    return Job.model_validate(read_json(path))
