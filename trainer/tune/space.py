"""The search space: dotted configuration keys and what may be tried for each. Checked whole before anything is trained."""

from collections.abc import Mapping
from itertools import combinations, product
from math import floor, isclose
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError, model_validator

from nightrank.feature_store.contracts.config import FrozenConfig, overlay, validate
from nightrank.feature_store.contracts.doors import read_yaml
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.trainer.config.training import TrainerConfig

Scalar = bool | int | float | str | None
Params = dict[str, Any]
SEARCHED: Final = ("trainer.model.", "trainer.loss.", "trainer.optimizer.", "trainer.fit.", "trainer.batch_rows")
"""What decides how good phase `fit` gets. Not `nightrank.trainer.loop.validation`: that is what trials are compared by."""
SHAPE: Final = "write {low: …, high: …}, optionally with step or log, or {choices: […]}"
ENUMERATED: Final = 64
"""A stepped range of at most so many values is checked value by value; of others only both ends are."""


class Range(FrozenConfig):
    """Numbers from `low` to `high`, both included; whole ones where low, high and step are whole."""

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _holds_something(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"the range is empty: low {self.low} is not below high {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0 and no step")
        if self.step is not None and (self.step <= 0 or not self._on_grid(self.high)):
            raise ValueError(f"high {self.high} is not reached from low {self.low} in steps of {self.step}")
        return self

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, 1 if self.step is None else self.step))

    @property
    def grid(self) -> float | None:
        """Distance of neighbouring values; None where any number may be drawn."""
        return self.step or (1 if self.whole else None)

    def checked(self) -> list[Scalar]:
        """Values that stand for all of them."""
        steps = None if self.grid is None else floor((self.high - self.low) / self.grid + 1e-9)
        if self.grid is None or steps is None or steps >= ENUMERATED:
            return [self.low, self.high]
        return [self.low + number * self.grid for number in range(steps + 1)]

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (self.grid is None or self._on_grid(value))

    def _on_grid(self, value: float) -> bool:
        steps = (value - self.low) / (self.grid or 1)
        return isclose(steps, round(steps), abs_tol=1e-9)


class Choices(FrozenConfig):
    """One of these."""

    choices: tuple[Scalar, ...]

    @model_validator(mode="after")
    def _are_several(self) -> "Choices":
        if len(self.choices) < 2 or len({repr(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError("choices needs two or more different values")
        return self

    def checked(self) -> list[Scalar]:
        return list(self.choices)

    def holds(self, value: Any) -> bool:
        return value in self.choices


Space = dict[str, Range | Choices]
_SPACE: Final[TypeAdapter[Range | Choices]] = TypeAdapter(Range | Choices)


def load_space(path: Path, base: Mapping[str, Any], known_only: bool = False) -> Space:
    """The file's space, every value of which the section `trainer` takes over `base`, a whole configuration. ConfigError names
    key and file. `known_only`: keys that `base` does not have, being those of another encoder, are left out."""
    tree = _read(path)
    known = values_of(base, tree)
    space = {key: _dimension(path, key, given) for key, given in tree.items() if key in known or not known_only}
    unknown = sorted(set(space) - set(known))
    if unknown:
        raise ConfigError(
            f"{path}: the configuration has no key {unknown[0]}",
            "`nightrank config --show` lists its keys, which depend on the encoder, head and loss",
        )
    _check_values(path, space, base)
    return space


def applied(base: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The tree `base` with each dotted key of `params` set."""
    tree = dict(base)
    for key, value in params.items():
        branch: Any = value
        for part in reversed(key.split(".")):
            branch = {part: branch}
        tree = overlay(tree, branch)
    return tree


def values_of(tree: Mapping[str, Any], keys: Mapping[str, Any]) -> Params:
    """What the tree says for each dotted key that it has."""
    found: Params = {}
    for key in keys:
        branch: Any = tree
        for part in key.split("."):
            branch = branch.get(part, _ABSENT) if isinstance(branch, Mapping) else _ABSENT
        if branch is not _ABSENT:
            found[key] = branch
    return found


_ABSENT: Final = object()


def _read(path: Path) -> dict[str, Any]:
    tree = read_yaml(path, "search space", "check the path given to --space")
    if not tree:
        raise ConfigError(f"search space {path} names no key", f"map dotted keys to what may be tried: {SHAPE}")
    return tree


def _dimension(path: Path, key: str, given: Any) -> Range | Choices:
    if not key.startswith(SEARCHED):
        raise ConfigError(
            f"{path}: key {key} cannot be searched: trials train phase `fit` and are compared by one validation",
            f"search below {', '.join(name.rstrip('.') for name in SEARCHED)}",
        )
    kind = Choices if isinstance(given, dict) and "choices" in given else Range
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([key, *map(str, first["loc"])])
        raise ConfigError(f"{path}: key {where}: {first['msg'].removeprefix('Value error, ')}", SHAPE) from None


def _check_values(path: Path, space: Space, base: Mapping[str, Any]) -> None:
    """Every value, alone and together with every value of every other key: what two keys demand of each other shows. What three
    demand shows in the trial that draws it."""
    values = {key: dimension.checked() for key, dimension in space.items()}
    first = {key: some[0] for key, some in values.items()}
    tried: list[Params] = [{key: value} for key, some in values.items() for value in some]
    for one, other in combinations(space, 2):
        tried += [{one: mine, other: its} for mine, its in product(values[one], values[other])]
    for params in tried:
        _check(path, base, first, params)


def _check(path: Path, base: Mapping[str, Any], first: Params, params: Params) -> None:
    """ConfigError unless the trainer takes them with all else as configured, or with the other keys at their first values."""
    for rest in ({}, first):
        try:
            validate(TrainerConfig, applied(base, rest | params)["trainer"])
            return
        except ConfigError as error:
            fault = error
    shown = " with ".join(f"{key}={value}" for key, value in params.items())
    raise ConfigError(f"{path}: {shown}: {fault.message.removeprefix('configuration: ')}", fault.remedy)
