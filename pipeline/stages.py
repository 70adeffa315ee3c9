"""THE list of stages: what each is called, which module runs it, which engine it needs, what it stands on. Stdlib only."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

Engine = Literal["spark", "torch", "plain"]
FailurePolicy = Literal["stop", "continue"]
ALL_KINDS: Final = ("full", "nightly")
CTR_SWITCH: Final = "impressions.enabled"
EXPERIMENT_SWITCH: Final = "experiments.enabled"


@dataclass(frozen=True)
class Stage:
    """One stage, started as `python -m <module> --run-dir LAKE/runs/<run id>`."""

    name: str
    module: str
    engine: Engine
    needs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ALL_KINDS
    on_failure: FailurePolicy = "stop"
    """stop: the run ends here. continue: the lists are live by now, so later stages still run; the run fails at its end."""
    ends_run: bool = False
    """Its exit code is the run's verdict and not a fault of the stage."""
    takes_in: bool = False
    """Part of a back-fill too: a run of an older date than what is current takes its data in and changes no list."""
    changes_lists: bool = False
    """Decides what is live: refused for a date older than what is current."""
    learns: bool = False
    """Makes or measures a model: not part of a night that brings no event."""
    starts_ranks: bool = False
    """Starts the trainer's ranks, by `trainer.launcher`."""
    switch: str | None = None
    """`section.key` of the configuration that must be true for it; None: it is part of every run."""


STAGES: Final[tuple[Stage, ...]] = (
    Stage("check_day", "nightrank.pipeline.check_day", "plain", takes_in=True),
    Stage("ingest_events", "nightrank.spark_jobs.ingest_events", "spark", ("check_day",), takes_in=True),
    Stage("build_features", "nightrank.spark_jobs.build_features", "spark", ("ingest_events",), takes_in=True),
    Stage("embed_items", "nightrank.spark_jobs.embed_items", "spark", ("build_features",)),
    Stage("build_training_set", "nightrank.spark_jobs.build_training_set", "spark", ("build_features", "embed_items")),
    Stage("score_baselines", "nightrank.spark_jobs.score_baselines", "spark", ("build_training_set",), learns=True),
    Stage("train", "nightrank.trainer.stages.train", "torch", ("build_training_set",), learns=True, starts_ranks=True),
    Stage("register", "nightrank.trainer.stages.register", "torch", ("train",), learns=True),
    Stage("evaluate", "nightrank.trainer.stages.evaluate", "torch", ("train", "score_baselines"), learns=True),
    Stage("gate", "nightrank.trainer.stages.gate", "torch", ("register", "evaluate"), changes_lists=True),
    Stage("score_users", "nightrank.spark_jobs.score_users", "spark", ("gate",), changes_lists=True),
    Stage("release", "nightrank.spark_jobs.release", "spark", ("score_users",), changes_lists=True),
    Stage(
        "read_feedback",
        "nightrank.spark_jobs.read_feedback",
        "spark",
        ("ingest_events", "release"),
        on_failure="continue",
        switch=EXPERIMENT_SWITCH,
    ),
    Stage(
        "train_ctr",
        "nightrank.trainer.stages.train_ctr",
        "torch",
        ("build_training_set",),
        on_failure="continue",
        learns=True,
        starts_ranks=True,
        switch=CTR_SWITCH,
    ),
    Stage(
        "register_ctr",
        "nightrank.trainer.stages.register_ctr",
        "torch",
        ("train_ctr",),
        on_failure="continue",
        learns=True,
        switch=CTR_SWITCH,
    ),
    Stage(
        "score_ctr",
        "nightrank.spark_jobs.score_ctr",
        "spark",
        ("release", "register_ctr"),
        on_failure="continue",
        switch=CTR_SWITCH,
    ),
    Stage("maintain_tables", "nightrank.spark_jobs.maintain_tables", "spark", ("release",), on_failure="continue"),
    Stage("report", "nightrank.pipeline.report.stage", "plain", ("release",), on_failure="continue"),
    Stage("verdict", "nightrank.pipeline.verdict", "plain", ("gate",), ends_run=True),
)


class Switches(Protocol):
    """What is asked of a configuration (`contracts.configuration.Configuration`)."""

    def is_on(self, switch: str) -> bool: ...


def stages_of(
    kind: str,
    config: Switches,
    stages: tuple[Stage, ...] = STAGES,
    *,
    back_fill: bool = False,
    without_events: bool = False,
) -> tuple[Stage, ...]:
    """The stages a run of this kind goes through under this configuration, in order.

    Of a back-fill those that take data in; of a night without events all but those that learn.
    """
    listed = tuple(stage for stage in stages if kind in stage.kinds and is_on(stage, config))
    if back_fill:
        return tuple(stage for stage in listed if stage.takes_in)
    return tuple(_without_learning(listed)) if without_events else listed


def _without_learning(stages: tuple[Stage, ...]) -> Iterator[Stage]:
    """The stages that learn nothing. What needed one that does needs what that one stands on."""
    inherited: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        needs = tuple(dict.fromkeys(name for need in stage.needs for name in inherited.get(need, (need,))))
        if stage.learns:
            inherited[stage.name] = needs
        else:
            yield replace(stage, needs=needs)


def is_on(stage: Stage, config: Switches) -> bool:
    return stage.switch is None or config.is_on(stage.switch)


def names(stages: tuple[Stage, ...] = STAGES) -> tuple[str, ...]:
    return tuple(stage.name for stage in stages)
