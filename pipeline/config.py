"""NightConfig: the whole configuration of a night, validated before anything starts. Each section is owned by its room."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import model_validator

from nightrank import CONF
from nightrank.feature_store.contracts import config as configs
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.doors import check_readable
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lake_calendar import with_lake_timezone
from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.pipeline.output import err
from nightrank.pipeline.telemetry.settings import OperationsConfig
from nightrank.trainer.config.ctr import CtrTrainerConfig
from nightrank.trainer.config.evaluation import EvaluationConfig, GateConfig
from nightrank.trainer.config.retention import RetentionConfig
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.config.tune import TuneConfig

RANKERS: Final = {"the ranker": ("trainer", "model", "encoder", "name"), "the click ranker": ("ctr", "model", "name")}


class NightConfig(DataSettings):
    """What the data side reads, and the trainer's, the evaluation's, the gate's and the search's sections beside it."""

    trainer: TrainerConfig = TrainerConfig()
    ctr: CtrTrainerConfig = CtrTrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    retention: RetentionConfig = RetentionConfig()
    tune: TuneConfig = TuneConfig()
    operations: OperationsConfig = OperationsConfig()

    @model_validator(mode="after")
    def _sections_agree(self) -> "NightConfig":
        if self.ids.hash_users and self.ids.key_file is None:
            raise ValueError("ids.hash_users is on and ids.key_file is not set: name a file with the key, outside the lake")
        if self.training_set.overlap >= self.training_set.max_length:
            raise ValueError(
                f"training_set.overlap {self.training_set.overlap} is not below training_set.max_length "
                f"{self.training_set.max_length}: a chunk would contain no new events"
            )
        if self.ctr.model.reads_history and self.impressions.enabled and not self.impressions.history:
            raise ValueError(f"ctr.model {self.ctr.model.name} reads histories and impressions.history is 0: raise it")
        explore = self.experiments.explore
        if explore is not None and explore.place > self.scoring.k:
            raise ValueError(f"experiments.explore.place {explore.place} is no place of a list of {self.scoring.k} (scoring.k)")
        return self


def configured(files: list[str], overrides: list[str], lake: Lake | None = None) -> Configuration:
    """The door: defaults, then each file, then each `--set`, validated whole. ConfigError names what does not fit.

    A `lake` lends its time zone where none is stated; another one than its own is refused.
    """
    return Configuration.of(night_of(files, overrides, lake))


def resolve(files: list[str], overrides: list[str], lake: Lake | None = None) -> dict[str, Any]:
    """As `configured`, for showing: every key with its value."""
    return night_of(files, overrides, lake).model_dump(mode="json")


def night_of(files: list[str], overrides: list[str], lake: Lake | None = None) -> NightConfig:
    for words in set_back(files):
        err(f"nightrank: warning: {words}")
    tree = configs.merged([find(name) for name in files], overrides)
    tree = tree if lake is None else with_lake_timezone(tree, lake)
    return configs.validate(NightConfig, tree)


def configured_again(shown: Mapping[str, Any]) -> Configuration:
    """What a run's file holds, by another release perhaps: validated whole, with defaults for keys that it does not know."""
    return Configuration.of(configs.validate(NightConfig, Configuration.from_run(shown).tree))


def set_back(files: list[str]) -> list[str]:
    """A sentence for each file that takes another ranker than a file before it named."""
    named: dict[str, tuple[str, str]] = {}
    sentences = []
    for file in files:
        tree = configs.merged([find(file)], [])
        for what, path in RANKERS.items():
            name = _at(tree, path)
            if name is None:
                continue
            before, by = named.get(what, (name, file))
            if name != before:
                sentences.append(
                    f"{file} comes after {by} and sets {what} from {before} to {name}; give {by} last to keep {before}"
                )
            named[what] = (str(name), file)
    return sentences


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def find(name: str) -> Path:
    """The file of that path, or of that name in `conf/` (`demo` means `conf/demo.yaml`)."""
    given, packaged = Path(name), CONF / f"{name.removesuffix('.yaml')}.yaml"
    if given.is_file():
        return given
    if packaged.is_file():  # also where a folder here has that name
        return packaged
    check_readable(given, "configuration file", ConfigError, f"give a path, or one of: {', '.join(packaged_names())}")
    return given


def packaged_names() -> list[str]:
    """What `--config` takes by name. Column mappings and the search space are in the same folder and are excluded."""
    models = sorted(
        str(path.relative_to(CONF).with_suffix("")) for part in ("env", "models") for path in (CONF / part).rglob("*.yaml")
    )
    return sorted(path.stem for path in CONF.glob("*.yaml") if not path.stem.startswith(("mapping", "tune"))) + models
