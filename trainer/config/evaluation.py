"""How models are measured and when a challenger goes live. Engine-free, so a night is validated before it starts."""

from typing import Literal

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.trainer.config.limits import GateLimits


class EvaluationConfig(FrozenConfig):
    """The section `evaluation` of a run's configuration."""

    ks: tuple[int, ...] = Field((10, 20), min_length=1)
    """Lengths of list at which metrics are measured."""
    batch_rows: int = Field(1024, ge=1)
    """Rows per scoring batch."""
    samples: int = Field(1000, ge=100)
    """Bootstrap resamples behind an interval."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Coverage of the intervals."""
    decidable_rows: int = Field(200, ge=1)
    """A figure from fewer rows has a warning: its interval is wide and may still be too narrow."""
    cold_events: int = Field(5, ge=0)
    """An item with at most this many training events is cold."""
    history_bounds: tuple[int, ...] = (5, 20)
    """Slices by history length: up to the first, up to the second, ..., above the last."""


class GateConfig(FrozenConfig):
    """The section `gate`. Delta is the challenger's NDCG@10 less the champion's over the same hold-out rows, with its interval.

    `reject_if_worse`: rejected when the interval lies below 0 and the loss is larger than the margin; promoted otherwise. A
    night without evidence of harm goes live: a model a day older is the worse choice when nothing speaks against the new one.
    `require_not_worse`: promoted only when the interval's lower end is above minus the margin; rejected otherwise.

    Under `decidable_rows` a night is undecidable and the champion stays. Its rows are pooled with those of the next nights
    against the same champion. What has waited for `pool_nights` nights, and a full run, is judged on the rows there are.
    A challenger that the rule promotes is rejected all the same where it fails one of the `limits`.
    """

    rule: Literal["reject_if_worse", "require_not_worse"] = "reject_if_worse"
    """How the challenger is judged; both rules are described above."""
    margin: float = Field(0.02, ge=0, lt=1)
    """Relative to the champion's NDCG@10: a smaller loss does not matter."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Coverage of the difference's interval."""
    samples: int = Field(2000, ge=100)
    """Bootstrap resamples behind the interval."""
    decidable_rows: int = Field(200, ge=1)
    """With fewer hold-out rows than this the gate cannot decide."""
    pool_nights: int = Field(14, ge=1)
    """A night with too few rows is judged together with earlier nights, up to this many in all."""
    limits: GateLimits = GateLimits()
    """What the challenger may not do whatever its average."""
    too_few: Literal["apply_rule", "keep_champion"] = "apply_rule"
    """For a full run with too few rows, and after `pool_nights`: apply the rule with a wider interval, or keep the champion."""
