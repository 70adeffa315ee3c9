"""How a search for settings goes about it: what is drawn at random first, what ends a trial early. Imports no engine."""

from typing import Literal

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class PrunerConfig(FrozenConfig):
    """The rule that ends a trial early, by its validation NDCG@10 after each epoch."""

    name: Literal["median", "halving", "none"] = "median"
    """median: the trial's best so far is below the median of what earlier trials had at that epoch (Vizier, Golovin et al.
    2017). halving: it is not among the best 1/`reduction` of those that reached the rung (ASHA, Li et al. 2020)."""
    startup_trials: int = Field(4, ge=0)
    """median: complete trials that are needed before a trial is ended early."""
    warmup_epochs: int = Field(2, ge=0)
    """median: a trial is never ended in its first epochs, this many."""
    first_rung: int = Field(2, ge=1)
    """halving: epochs before the first rung; each next rung is `reduction` times as far."""
    reduction: int = Field(3, ge=2)
    """halving: one in this many trials continues at a rung."""


class TuneConfig(FrozenConfig):
    """The section `tune` of a configuration."""

    startup_trials: int = Field(8, ge=1)
    """Random trials before the estimator (TPE, Bergstra et al. 2011) starts."""
    pruner: PrunerConfig = PrunerConfig()
    importance: Literal["fanova", "mean_decrease"] = "fanova"
    """What the importance picture shows: shares of variance (fANOVA, Hutter et al. 2014), or the cheaper mean decrease of
    impurity in a random forest."""
