"""The output of stage read_feedback: the experiment's arms compared, and what other policies would have earned."""

from typing import ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class ArmRead(FrozenConfig):
    name: str
    users: int
    """Of whose lists at least one was shown."""
    lists: int
    expected_users: float
    """By the arm's share."""
    mean: float | None
    """Rewards a list shown, averaged by user; null without a user."""
    difference: tuple[float, float, float] | None
    """(value, low, high) to the control's mean, on a day fixed beforehand; null for the control and with few users."""
    always: tuple[float, float] | None
    """(low, high) of the difference on all days at once."""
    may_stop: bool
    """The difference is not 0, however often one has looked."""


class PolicyRead(FrozenConfig):
    name: str
    estimator: str
    """ips, snips or doubly_robust; `logged` is what was earned in fact."""
    value: float
    """Rewards of the drawn place, a list shown."""
    low: float
    high: float
    effective_rounds: float
    """So many rounds of equal weight would say as much (Kish)."""


class ExperimentRead(FrozenConfig):
    name: str
    since: str
    lists: int
    """Lists of the experiment that were shown since then."""
    shown_of: int
    """Lists that were made since then."""
    ratio_p_value: float
    """Of the arms' numbers of users if the assignment is right."""
    ratio_mismatch: bool
    """Assignment or logging is at fault; nothing else here may be believed."""
    arms: tuple[ArmRead, ...]
    policies: tuple[PolicyRead, ...]


class FeedbackRead(StageOutput):
    STAGE: ClassVar[str] = "read_feedback"
    experiment: ExperimentRead | None
    """None where no list of the experiment was shown yet."""
