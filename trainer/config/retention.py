"""What is still known: on which rows of long ago models are measured each night, and when a full pass is due. Engine-free."""

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class RetentionConfig(FrozenConfig):
    """The section `retention`: the report on what nightly fine-tunes forget, and the full passes it may ask for.

    Measured are the challenger, the champion and the last full run's model: on the gate's hold-out, on a cohort of rows that is
    chosen once and stays the same, and on what the night replays.
    """

    enabled: bool = True
    """Measure it."""
    cohort_rows: int = Field(1000, ge=1)
    """The cohort has at most so many rows, and of the others at most so many are measured."""
    new_user_events: int = Field(5, ge=0)
    """A user with a history of at most so many events is new."""
    dormant_days: int = Field(14, ge=1)
    """A user without an event for so many days before the row's target is dormant."""
    drop: float | None = Field(0.1, gt=0, lt=1)
    """The report asks for a full pass where the live model's NDCG@10 on the cohort is lower than the last full model's by more
    than this share of it, and the paired interval lies below 0. Nothing: it never asks."""
    rows: int = Field(200, ge=1)
    """With fewer rows of the cohort it does not ask."""
    samples: int = Field(1000, ge=100)
    """Bootstrap resamples behind an interval."""
    full_every: int | None = Field(None, ge=1)
    """`nightrank nightly` runs the full training in place of every so many-th night. Nothing: no schedule."""
    full_on_drop: bool = True
    """`nightrank nightly` runs the full training after a night whose report asks for it."""
