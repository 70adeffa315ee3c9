"""The outputs of the stages after the release: maintenance, report, verdict."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.outputs.output import StageOutput


class Maintained(StageOutput):
    STAGE: ClassVar[str] = "maintain_tables"
    maintenance: dict[str, dict[str, Any]]
    """By table: files before and after, removed, why files were kept."""


class Reported(StageOutput):
    STAGE: ClassVar[str] = "report"
    report: str
    """The page, relative to the lake."""


class Judged(StageOutput):
    STAGE: ClassVar[str] = "verdict"
    verdict: str
    """The gate's decision."""
