"""The output of stage register; `model_ref.json` in the run's folder holds the whole reference."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class ModelFacts(FrozenConfig):
    name: str
    version: int
    manifest_sha256: str
    ranker: str
    settings: dict[str, Any]


class Registered(StageOutput):
    STAGE: ClassVar[str] = "register"
    model: ModelFacts
