"""A run's whole configuration: validated once at the door, frozen, and given by sections to the stages that declare them."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nightrank.feature_store.contracts.config import FrozenConfig, validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.inputs import declares
from nightrank.feature_store.contracts.secret_settings import restored
from nightrank.feature_store.contracts.secrets import masked

Section = TypeVar("Section", bound=FrozenConfig)


@dataclass(frozen=True)
class Configuration:
    """Made by `of` at the door and by `from_run` in every other process. What it gives out is frozen or a copy."""

    _tree: dict[str, Any] = field(repr=False)
    """The secrets among it."""
    _sections: dict[str, FrozenConfig] = field(default_factory=dict, repr=False, compare=False)
    """What was validated in this process, by name; shared by the stages that run in it."""
    stage: str | None = None
    """Whose sections these are; None outside stages, where all may be read."""

    @classmethod
    def of(cls, whole: FrozenConfig) -> "Configuration":
        """Of a configuration that the door has validated: no section of it is validated again."""
        sections = {name: value for name in type(whole).model_fields if isinstance(value := getattr(whole, name), FrozenConfig)}
        return cls(whole.model_dump(mode="json"), sections)

    @classmethod
    def from_run(cls, shown: Mapping[str, Any]) -> "Configuration":
        """Of what a run's or a study's file holds, with the secrets that this process' environment gives."""
        return cls(deepcopy(restored(shown)))

    def of_stage(self, name: str) -> "Configuration":
        """The same for that stage: a section that it does not declare is refused."""
        return replace(self, stage=name)

    def section(self, name: str, model: type[Section]) -> Section:
        """The section of that name (`scoring`), or a part of one (`scoring.filter_seen`); defaults where it is not there.

        ConfigError for a value that does not fit, and for a section that the stage does not declare.
        """
        self._check_declared(name, *model.model_fields)
        found = self._sections.get(name)
        if found is None:
            tree = self._at(name)
            found = self._sections[name] = validate(model, {} if tree is None else tree)
        if not isinstance(found, model):
            raise TypeError(f"section {name} is a {type(found).__name__}, and {model.__name__} is read")
        return found

    def is_on(self, switch: str) -> bool:
        """Whether the dotted key is true. ConfigError as for a section."""
        self._check_declared(switch)
        return bool(self._at(switch))

    @property
    def seed(self) -> int:
        return int(self._tree.get("seed", 0))

    @property
    def tree(self) -> dict[str, Any]:
        """A copy, the secrets among it: for what goes to processes, never into files."""
        return deepcopy(self._tree)

    @property
    def shown(self) -> dict[str, Any]:
        """A copy for files and people: `***` in place of secrets."""
        copy: dict[str, Any] = masked(self._tree)
        return copy

    @property
    def sha256(self) -> str:
        """Of the configuration as it is shown: another password is no other configuration."""
        return sha256_of(self.shown)

    def _check_declared(self, name: str, *keys: str) -> None:
        if self.stage is not None and not declares(self.stage, name, keys):
            raise ConfigError(
                f"stage {self.stage} reads section {name} of the configuration and does not declare it, so its fingerprint "
                "would miss a change there",
                f"name it in the line of {self.stage} in feature_store/contracts/inputs.py",
            )

    def _at(self, dotted: str) -> Any:
        value: Any = self._tree
        for part in dotted.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value
