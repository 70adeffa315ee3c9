"""The section `guards`: when a landed day is held back before it is learnt."""

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class GuardSettings(FrozenConfig):
    """The defaults were set on clean and broken days of simulated markets (docs/adr/0024) and are fixed since."""

    enabled: bool = True
    """A night compares each day that it takes in with days before it, and holds back a broken one."""
    reference_days: int = Field(28, ge=1)
    """Days before it that a day is compared with. Where three of them have the same weekday, only these count."""
    least_days: int = Field(5, ge=1)
    """With fewer days before it, a day is not judged."""
    least_events: int = Field(500, ge=1)
    """Where a usual day has fewer events, no day is judged."""
    least_action_events: int = Field(2000, ge=1)
    """Least events of an action whose hours and values are compared alone, besides those of every action together."""
    volume_high: float = Field(5.0, gt=1)
    """A day with more than this many times the usual events is held."""
    volume_low: float = Field(0.2, ge=0, lt=1)
    """A day with less than this fraction of the usual events is held."""
    psi: float = Field(0.35, gt=0)
    """Most that the population stability index may be beyond what chance explains, for each feature and each action."""
    user_share: float = Field(0.2, gt=0, le=1)
    """Largest share of the events that one user may have, where no day before had as much."""
    unknown_items: float = Field(0.3, gt=0, le=1)
    """Largest share of the events on items that neither the catalogue nor an earlier event knows."""
    items_present: float = Field(0.75, ge=0, le=1)
    """Of the items that are usually seen several times a day, least share (by their events) that must be seen."""
    catalogue_left: float = Field(0.7, ge=0, le=1)
    """Least size of a complete catalogue export, compared with the one before."""
    other_dates: float = Field(0.2, ge=0, le=1)
    """Most that the share of events with another date than the landing day may differ from the usual share."""
    pairs: float = Field(0.2, gt=0, le=1)
    """Most that the share of an action's events whose user has another event on the same item may differ from the usual."""
