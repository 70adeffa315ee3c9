"""The output of stage check_day: what each landed day came to, and which days the run goes without."""

from typing import Any, ClassVar, Literal

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class Finding(FrozenConfig):
    """What one guard measured of a day."""

    guard: str
    about: str
    """The feature and the action that it is about; empty where it is about the whole day."""
    value: float
    threshold: float
    held: bool
    """The value is beyond the threshold: the day is held back."""
    sentence: str


class DayChecked(FrozenConfig):
    date: str
    verdict: Literal["passed", "held", "accepted", "not_judged"]
    note: str
    """Why it was not judged; empty otherwise."""
    findings: tuple[Finding, ...]


class Guarded(FrozenConfig):
    days: tuple[DayChecked, ...]
    without: tuple[str, ...]
    """Every landing date up to the run's that it goes without."""
    folded: tuple[str, ...]
    """Dates that were accepted since the champion was trained without them: their events are labels of this run."""


class Checked(StageOutput):
    STAGE: ClassVar[str] = "check_day"
    guards: Guarded

    def identity(self) -> Any:
        """Later stages read which days count, not what was measured of them."""
        return [self.guards.without, self.guards.folded]
