"""StudySpec: everything that a search is given, written by the command as `LAKE/tune/<study>/study.json`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, PlainSerializer

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.files import read_json, sha256_of, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.trainer.tune.space import Space

HOW_IT_IS_RUN: Final = ("hosts", "environment", "threads_per_worker", "log_seconds", "checkpoint", "watchdog")
"""Keys of section `trainer` that change no value: a study continues under others."""
LEFT_OUT: Final = ("spark", "mlflow", "tune")
"""Sections that no overlay holds: where and how something is run, and an address may hold a password."""
NOTE: Final = "Chosen on validation NDCG@10 of phase measure. The test split was not read: measure the winner with a full run."


def _read(value: Any) -> Any:
    return Configuration.from_run(value) if isinstance(value, Mapping) else value


def _shown(config: Configuration) -> dict[str, Any]:
    return config.shown


Resolved = Annotated[Configuration, BeforeValidator(_read), PlainSerializer(_shown)]


class StudySpec(FrozenConfig):
    """One search: the snapshot of a run, a configuration and a space. `trials` and `timeout_seconds` may differ by call."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    root: str
    run_id: str
    """Of the finished run whose snapshot is trained on."""
    date: str
    snapshot: str
    """Id of that snapshot."""
    config: Resolved
    """Whole. In `study.json` as it is shown; what reads that takes the secrets from the environment."""
    differing: dict[str, Any]
    """What of it differs from the defaults: the overlay of the best trial begins with this."""
    space: Space
    trials: int
    """In all, those of earlier calls counted."""
    timeout_seconds: float | None = None
    """No trial begins later than this after the call."""

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def study(self) -> str:
        """Eight digits each of configuration, space and snapshot: another of them is another study."""
        tree = self.config.tree
        trainer = {key: value for key, value in tree["trainer"].items() if key not in HOW_IT_IS_RUN}
        tune = {key: value for key, value in tree.get("tune", {}).items() if key != "importance"}
        config = sha256_of({"trainer": trainer, "tune": tune, "seed": self.seed})
        space = sha256_of({key: dimension.model_dump(mode="json") for key, dimension in self.space.items()})
        return f"{config[:8]}-{space[:8]}-{self.snapshot[:8]}"

    @property
    def relative(self) -> str:
        """The study's folder, seen from the lake."""
        return f"tune/{self.study}"

    @property
    def folder(self) -> Location:
        return self.lake.root / self.relative

    @property
    def result_path(self) -> Location:
        return self.folder / "result.json"

    @property
    def error_path(self) -> Location:
        return self.folder / "error.json"

    def save(self) -> None:
        write_json(self.folder / "study.json", self.model_dump(mode="json"))


def load_spec(folder: Location) -> StudySpec:
    return StudySpec.model_validate(read_json(folder / "study.json"))


def differing(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `config` whose values `defaults` does not have, as a tree; sections of LEFT_OUT aside."""
    kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
    return _difference(kept, defaults)


def _difference(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        default = defaults.get(key)
        # Of another kind (`name`) the defaults are others too: such a section is kept whole.
        if isinstance(value, Mapping) and isinstance(default, Mapping) and value.get("name") == default.get("name"):
            inner = _difference(value, default)
            found |= {key: inner} if inner else {}
        elif key not in defaults or value != default:
            found[key] = value
    return found
