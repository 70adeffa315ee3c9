"""Limits beside the gate's comparison: what a challenger that is no worse on average may still not do."""

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class GateLimits(FrozenConfig):
    """The section `gate.limits`. A challenger that fails one of them is rejected, and the decision names each.

    All are measured on the rows and lists of 10 that the comparison is made on. `null` switches one off. The defaults are
    wide: they stop a broken model, not a night that is a little different.
    """

    rows: int = Field(100, ge=1)
    """With fewer rows a slice, and what is measured of lists and scores, is not judged."""
    slice_floor: float | None = Field(0.1, ge=0, lt=1)
    """In no slice may NDCG@10 be lower than the champion's by more than this share of it, with an interval below 0. Slices: new
    and heavy users, and targets that are new, head or tail items."""
    new_user_events: int = Field(5, ge=0)
    """A user with a history of at most so many events is new."""
    heavy_user_events: int = Field(20, ge=1)
    """A user with a history of at least so many events is heavy."""
    new_item_events: int = Field(5, ge=0)
    """An item with at most so many events before the day is new."""
    head_share: float = Field(0.2, gt=0, lt=1)
    """This share of the items with events, the most frequent ones, are head items; the others tail items."""
    coverage: float | None = Field(0.5, ge=0, le=1)
    """The catalogue that lists cover is at least this share of what the champion's cover."""
    popularity_lift: float | None = Field(2.0, ge=1)
    """Listed items are at most so many times as popular as those of the champion's lists."""
    list_churn: float | None = Field(0.9, ge=0, le=1)
    """Of a night: at most this share of the items in last night's lists of the same users is replaced."""
    calibration: float | None = Field(0.15, ge=0, le=1)
    """The expected calibration error of first places exceeds the champion's by at most this."""
    score_drift: float | None = Field(2.0, ge=0)
    """Of a night: population stability index of the scores of first places, over tenths of the champion's."""
    finite: bool = True
    """No weight, item vector or score is NaN or infinite."""
    bundle_growth: float | None = Field(2.0, ge=1)
    """Of a night: the bundle has at most so many times the champion's bytes."""
    latency_growth: float | None = Field(5.0, ge=1)
    """A list takes at most so many times as long as the champion's, on the same rows in the same process."""
