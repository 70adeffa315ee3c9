"""The output of stage evaluate: figures for result.json and the report."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class SplitFacts(FrozenConfig):
    rows: int
    dropped: int
    """Rows without a target that the user has not seen."""
    recommender: list[str]


class Evaluated(StageOutput):
    STAGE: ClassVar[str] = "evaluate"
    metrics: list[dict[str, Any]]
    """Rows {recommender, split, slice, name, k, value, ci, n, note}."""
    comparisons: list[dict[str, Any]]
    evaluation: dict[str, SplitFacts]
    """By split."""
