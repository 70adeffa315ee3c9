"""Which jars a session is started with, and where they come from: resolved as Maven packages, or out of a folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.object_storage.spark import SparkAccess

JARS: Final = "spark.jars"
PACKAGES: Final = "spark.jars.packages"
EXCLUDES: Final = "spark.jars.excludes"


def jar_properties(settings: SparkSettings, access: SparkAccess) -> dict[str, str]:
    """`spark.jars`, `spark.jars.packages` and what these leave out. Where `spark.extra` names one, its value replaces that of
    the settings, and what storage needs is added to it.

    Without `spark.packages` and `spark.jar_folder` the cluster has every package, and only our own jar is added. ConfigError
    where `jar_folder` is named and lacks Delta's jar or the storage connector's.
    """
    folder = settings.jar_folder
    jars = _listed(settings.extra.get(JARS)) or (_folder(folder, access) if folder is not None else [])
    packages = _listed(settings.extra.get(PACKAGES)) or ([] if folder is not None else list(settings.packages))
    if packages and folder is None:
        packages += _not_in(packages, access.packages)
    found = {
        JARS: [*jars, *map(str, access.jars)],
        PACKAGES: packages,
        EXCLUDES: [*_listed(settings.extra.get(EXCLUDES)), *(access.excludes if packages else ())],
    }
    return {name: ",".join(parts) for name, parts in found.items() if parts}


def with_jars(options: Mapping[str, str], given: Iterable[str]) -> dict[str, str]:
    """`options` with the jars that are `given` already, and of those in it the ones whose file is not among them."""
    first = list(given)
    names = {Path(jar).name for jar in first}
    jars = [*first, *(jar for jar in _listed(options.get(JARS)) if Path(jar).name not in names)]
    return {**options, **({JARS: ",".join(jars)} if jars else {})}


def _folder(folder: str, access: SparkAccess) -> list[str]:
    jars = sorted(Path(folder).glob("*.jar"))
    if not _has(jars, "delta-spark"):
        raise ConfigError(
            f"spark.jar_folder {folder} holds no delta-spark jar",
            "put delta-spark, delta-storage and antlr4-runtime jars there, or unset it to resolve spark.packages",
        )
    if access.connector and not _has(jars, access.connector):
        raise ConfigError(
            f"spark.jar_folder {folder} holds no {access.connector} jar, and the lake is in a bucket",
            f"put {', '.join(access.packages)} there with what they need, or unset it to resolve packages",
        )
    return [str(jar) for jar in jars]


def _has(jars: Iterable[Path], start: str) -> bool:
    """Files out of Ivy's cache have the group's name before theirs."""
    return any(jar.name.split("_", 1)[-1].startswith(start) or jar.name.startswith(start) for jar in jars)


def _not_in(named: Iterable[str], more: Iterable[str]) -> list[str]:
    """Of `more`, the packages of which `named` has no version."""
    known = {_module(package) for package in named}
    return [package for package in more if _module(package) not in known]


def _module(package: str) -> str:
    return package.rpartition(":")[0]


def _listed(value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(",") if part.strip()]
