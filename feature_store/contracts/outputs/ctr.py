"""The outputs of the click ranker's stages."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput
from nightrank.feature_store.contracts.outputs.trained import ModelFiles


class CtrTraining(FrozenConfig):
    training: dict[str, Any]
    test: dict[str, Any] | None
    """Figures on the test impressions, where there are any."""
    model_files: ModelFiles
    curves: dict[str, Any]


class TrainedCtr(StageOutput):
    STAGE: ClassVar[str] = "train_ctr"
    ctr_training: CtrTraining

    def identity(self) -> Any:
        return self.ctr_training.model_files.model_dump(mode="json")


class CtrFacts(FrozenConfig):
    name: str
    version: int
    manifest_sha256: str
    model: str
    test: dict[str, Any] | None
    dropped: int | None = None
    """Training rows of the snapshot that no epoch read."""
    features: dict[str, Any] | None = None
    """Names of the features among its inputs, and what reads them."""


class RegisteredCtr(StageOutput):
    STAGE: ClassVar[str] = "register_ctr"
    ctr: CtrFacts


class CtrScores(FrozenConfig):
    model: str
    version: int
    release_id: str
    note: str | None


class ScoredCtr(StageOutput):
    STAGE: ClassVar[str] = "score_ctr"
    ctr_scores: CtrScores
