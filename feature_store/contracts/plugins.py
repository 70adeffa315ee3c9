"""Encoders, losses and features from other packages, found by their entry points. Nothing is imported from a bundle or a lake.

A package names what it offers in its pyproject.toml, for example

    [project.entry-points."nightrank.encoders"]
    mean_of_items = "shop_rankers:MeanOfItems"
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any, Final

from nightrank.feature_store.contracts.errors import ConfigError

ENCODERS: Final = "nightrank.encoders"
"""name -> constructor `(RankerConfig, ItemShapes) -> UserEncoder`; its settings are `config.encoder.settings`."""
LOSSES: Final = "nightrank.losses"
"""name -> `(Scores, settings) -> losses [S]`, as the functions in `nightrank.ranker.losses.sampled` are."""

FEATURES: Final = "nightrank.features"
"""name -> a function as `nightrank.feature_store.contracts.aggregates.Derived` describes it."""


def plugin(group: str, name: str) -> Callable[..., Any]:
    """What the entry point of that group and name gives. ConfigError where no installed package offers it, or two do."""
    found: Callable[..., Any] = _entry(group, name).load()
    return found


def origin(group: str, name: str) -> dict[str, str]:
    """{package: version} that offers it."""
    package = _entry(group, name).dist
    return {} if package is None else {package.name: package.version}


def check_installed(packages: dict[str, str], what: str) -> None:
    """ConfigError naming the package if one that offers an encoder is not installed, or at another version."""
    for name, wanted in packages.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            text = f"{what} needs the plug-in package {name} {wanted}, which is not installed"
            raise ConfigError(text, _install(name, wanted)) from None
        if found != wanted:
            raise ConfigError(f"{what} needs {name} {wanted}, and {found} is installed", _install(name, wanted))


def _install(name: str, wanted: str) -> str:
    return f"install it where nightrank runs: pip install {name}=={wanted}"


def _entry(group: str, name: str) -> EntryPoint:
    found = [entry for entry in entry_points(group=group) if entry.name == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted({entry.name for entry in entry_points(group=group)})) or "none"
    if found:
        raise ConfigError(f"{len(found)} installed packages offer {name} in {group}", "uninstall all but one")
    raise ConfigError(
        f"no installed package offers {name} in {group} (offered: {known})",
        "install the plug-in's package where nightrank runs, or use another name",
    )
