"""FrozenConfig and how one is loaded: YAML files, later ones over earlier ones, then `--set a.b=value`."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from nightrank.feature_store.contracts.doors import parse_yaml, read_yaml, yaml_fault
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.secrets import described


class FrozenConfig(BaseModel):
    """Immutable and strict: an unknown key or a value of the wrong type is an error, not a surprise.

    `"2"` is not 2, `true` is not 1, 1.0 is not the whole number 1. A whole number where a fraction is wanted is that number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), strict=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, body: Any) -> Any:
        """YAML and JSON have no tuples: where one is wanted, a list is one. Nothing else changes its type."""
        if not isinstance(body, dict):
            return body
        wanted = {name for name, field in cls.model_fields.items() if _holds_tuple(field.annotation)}
        return {name: _frozen(value) if name in wanted else value for name, value in body.items()}


def _holds_tuple(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_holds_tuple, get_args(annotation)))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _day(value: Any) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else value


Day = Annotated[date, BeforeValidator(_day)]
"""A date, which JSON has only as text. A number is not a date."""
UNKNOWN: Final = "extra_forbidden"


Model = TypeVar("Model", bound=FrozenConfig)


def load(model: type[Model], files: list[Path] | None = None, overrides: list[str] | None = None) -> Model:
    """The model's defaults, overlaid by each file in turn, then by each `dotted.key=value` (the value is YAML)."""
    return validate(model, merged(files or [], overrides or []))


def merged(files: list[Path], overrides: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in files:
        tree = overlay(tree, _read(path))
    for text in overrides:
        tree = overlay(tree, _parse_override(text))
    return tree


def validate(model: type[Model], tree: dict[str, Any]) -> Model:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(map(_fault, error.errors()))
        raise ConfigError(f"configuration: {faults}", "`nightrank config --show` prints every key with its default") from None


def _fault(error: Any) -> str:
    """One of pydantic's faults: the key, what is wrong, and what may be said of the value."""
    found = described(error["loc"], error["input"], known=error["type"] != UNKNOWN)
    return f"{'.'.join(map(str, error['loc'])) or '(top)'}: {error['msg']} (got {found})"


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """`top` over `base`; mappings merge, everything else replaces. Neither argument changes.

    A mapping with a new `name` replaces the earlier one, because the settings of one encoder do not fit another.
    """
    if "name" in top and top["name"] != base.get("name", top["name"]):
        return dict(top)
    result = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = overlay(result[key], value) if both else value
    return result


def _read(path: Path) -> dict[str, Any]:
    return read_yaml(path, "configuration file", "check the path given to --config")


def _parse_override(text: str) -> dict[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(
            f"--set {text!r:.40} does not have the form key=value", "write for example --set trainer.fit.epochs=3"
        )
    try:
        tree: Any = parse_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: the value is not YAML: {yaml_fault(error)}", "quote the value") from None
    for part in reversed(key.split(".")):
        tree = {part: tree}
    result: dict[str, Any] = tree
    return result
