"""FrozenConfig and how one is loaded: YAML files laid over each other, then `--set a.b=value`."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nightrank.feature_store.contracts.doors import read_yaml, yaml_fault
from nightrank.feature_store.contracts.errors import ConfigError


class FrozenConfig(BaseModel):
    """Immutable and strict: an unknown key or a value of the wrong type is an error, not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


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
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or '(top)'}: {e['msg']} (got {e['input']!r:.60})" for e in error.errors()
        )
        raise ConfigError(f"configuration: {faults}", "`nightrank config --show` prints every key with its default") from None


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """`top` over `base`; mappings merge, everything else replaces. Neither argument changes.

    A mapping that says `name` starts anew where the one below says another: the settings of one encoder are not another's.
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
        raise ConfigError(f"--set {text!r} is not of the form key=value", "write for example --set trainer.epochs=3")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: its value is not YAML: {yaml_fault(error)}", "quote the value") from None
    for part in reversed(key.split(".")):
        tree = {part: tree}
    result: dict[str, Any] = tree
    return result
