"""What each stage reads: the one list from which its fingerprint is made, and the sections it is given."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class StageInputs:
    """A stage is a function of these, of the run's date, kind and seed, and of nothing else."""

    sections: tuple[str, ...] | None = ()
    """Sections of the configuration, or `section.key` for a part of one. None: all but those of `HOW`."""
    stages: tuple[str, ...] = ()
    """Stages of the run whose outputs it reads: their outputs, and their tables at the versions they left."""
    landing: bool = False
    """The landing files of the run's days."""
    undecided: bool = False
    """The landing files of its days and of days that are held back, and which of the held ones were accepted."""
    champion: Literal["none", "parent", "found", "lists"] = "none"
    """`found`: the champion that this run found, whatever it has promoted since. `parent`: the same, for a night alone: a full
    run grows from none. `lists`: what stage gate says makes the lists, or the lake's champion where a stage runs alone."""
    last_full: bool = False
    """The model of the newest other full run."""
    list_rules: bool = False
    """The shop's rules, at the version that the run found."""
    vocabulary: bool = False
    """The lineage of the vocabulary: after a reset nothing that it wrote stands."""
    earlier_rows: bool = False
    """Of a night: the hold-out rows of nights before it that were too few to decide."""


HOW: Final = frozenset({"spark", "tune", "operations", "mlflow.timeout_seconds"})
"""How stages run, how settings are searched for, what others are told: no outcome depends on these, and each may read them."""
UNKNOWN: Final = StageInputs(sections=None)
"""A stage that is not listed reads everything."""
REGISTRY: Final = ("mlflow.tracking_uri", "mlflow.experiment", "mlflow.model_name")

INPUTS: Final[dict[str, StageInputs]] = {
    "check_day": StageInputs(("calendar", "guards"), undecided=True, champion="parent"),
    "ingest_events": StageInputs(("calendar", "ids", "ingest"), ("check_day",), landing=True, champion="parent"),
    "build_features": StageInputs(
        ("calendar", "features", "impressions"), ("ingest_events",), champion="found", vocabulary=True
    ),
    "embed_items": StageInputs(("calendar", "text"), ("ingest_events", "build_features")),
    "build_training_set": StageInputs(
        ("calendar", "features", "training_set", "impressions", "scoring.filter_seen"),
        ("ingest_events", "build_features", "embed_items"),
        champion="parent",
    ),
    "score_baselines": StageInputs(("calendar", "training_set", "baselines"), ("build_features", "build_training_set")),
    "train": StageInputs(("trainer", "text"), ("build_training_set",)),
    "register": StageInputs(REGISTRY, ("build_training_set", "train")),
    "evaluate": StageInputs(
        ("calendar", "evaluation", "retention"),
        ("build_training_set", "train", "score_baselines"),
        champion="found",
        last_full=True,
    ),
    "gate": StageInputs(("gate", "text", *REGISTRY), ("build_training_set", "register"), champion="found", earlier_rows=True),
    "score_users": StageInputs(
        ("calendar", "features", "impressions", "training_set", "scoring", "experiments", *REGISTRY),
        ("build_features", "build_training_set", "gate"),
        champion="lists",
        list_rules=True,
    ),
    "release": StageInputs(("calendar", "training_set", "ids.in_report"), ("build_features", "score_users")),
    "read_feedback": StageInputs(("calendar", "experiments"), ("ingest_events", "score_users", "release")),
    "train_ctr": StageInputs(("trainer", "ctr", "text"), ("build_training_set",)),
    "register_ctr": StageInputs(REGISTRY, ("build_training_set", "train_ctr")),
    "score_ctr": StageInputs(
        ("calendar", "impressions", *REGISTRY),
        ("ingest_events", "build_features", "build_training_set", "release", "register_ctr"),
    ),
    "maintain_tables": StageInputs(("maintenance",), ("release",)),
    "report": StageInputs(
        ("calendar", "training_set", "impressions.enabled", "experiments.enabled", "ids.in_report"),
        ("train", "register", "evaluate", "gate", "score_users", "release", "register_ctr"),
    ),
    "verdict": StageInputs(stages=("gate",)),
}


def inputs_of(stage: str) -> StageInputs:
    return INPUTS.get(stage, UNKNOWN)


def declares(stage: str, part: str, keys: Iterable[str] = ()) -> bool:
    """Whether the stage may read that part of the configuration: it declares the part, what holds it, or each of its `keys`."""
    listed = inputs_of(stage).sections
    if listed is None:
        return True
    allowed = {*listed, *HOW}
    every = [f"{part}.{key}" for key in keys]
    return _covered(part, allowed) or (bool(every) and all(_covered(key, allowed) for key in every))


def _covered(part: str, allowed: Iterable[str]) -> bool:
    return any(part == one or part.startswith(f"{one}.") for one in allowed)
