"""The output of stage build_training_set: the snapshot it published."""

from typing import Any, ClassVar, Literal

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class SnapshotFacts(FrozenConfig):
    id: str
    path: str
    """Relative to the lake."""
    rows: dict[str, int]
    """By part."""
    kind: Literal["full", "nightly"]


class TrainingSet(StageOutput):
    STAGE: ClassVar[str] = "build_training_set"
    snapshot: SnapshotFacts

    def identity(self) -> Any:
        return self.snapshot.id
