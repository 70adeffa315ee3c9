"""The output of stage evaluate: figures for result.json and the report."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class SplitFacts(FrozenConfig):
    rows: int
    dropped: int
    """Rows without a target that the user has not seen."""
    recommender: list[str]


class RetentionRow(FrozenConfig):
    """NDCG@10 of one model on one slice of one set of rows; no figure without rows."""

    set: str
    slice: str
    model: str
    ndcg: float | None
    ci: list[float] | None
    n: int


class RetentionFacts(FrozenConfig):
    rows: list[RetentionRow]
    cohort: dict[str, Any] | None
    """sha256, rows and date of the fixed cohort; None before one was chosen."""
    asks_for_full: bool
    """More was lost than the settings allow: a full pass is due."""
    note: str


class Evaluated(StageOutput):
    STAGE: ClassVar[str] = "evaluate"
    metrics: list[dict[str, Any]]
    """Rows {recommender, split, slice, name, k, value, ci, n, note}."""
    comparisons: list[dict[str, Any]]
    evaluation: dict[str, SplitFacts]
    """By split."""
    retention: RetentionFacts | None = None
