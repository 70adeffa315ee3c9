"""A POM without its jar: Ivy finds the module, then fails every Spark start with `download failed`."""

import re
from collections.abc import Iterator
from pathlib import Path

from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine

SHOWN = 3
DELTA_NEEDS = ("io.delta:delta-spark", "io.delta:delta-storage", "org.antlr:antlr4-runtime")
NO_JAR = re.compile(r"<packaging>\s*(pom|bom)\s*</packaging>")


def check_caches(machine: Machine, settings: DataSettings) -> list[Finding]:
    """A hole in what Delta needs fails; a hole elsewhere (a Maven build leaves many) is a warning."""
    holes = [*_maven_holes(machine.home / ".m2" / "repository")]
    for ivy in sorted(machine.home.glob(".ivy2*")):
        holes += _ivy_holes(ivy / "cache")
    if not holes:
        return [Finding("maven_and_ivy_caches", "ok", "no POM without its jar under ~/.m2 and ~/.ivy2*")]
    modules = {":".join(package.split(":")[:2]) for package in settings.spark.packages} | set(DELTA_NEEDS)
    ours = [(module, path) for module, path in holes if module in _with_scala(modules)]
    shown = ours or holes
    folders = " ".join(str(path) for _, path in shown[:SHOWN])
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    seen = f"{len(shown)} module(s) with a POM but no jar: {', '.join(module for module, _ in shown[:SHOWN])}{more}"
    if ours:
        return [Finding("maven_and_ivy_caches", "fail", f"{seen}; Spark will not start", f"rm -r {folders}")]
    remedy = f"nothing, unless spark.packages names one of them; then rm -r {folders}"
    return [Finding("maven_and_ivy_caches", "warn", f"{seen}; Delta needs none of them", remedy)]


def _with_scala(modules: set[str]) -> set[str]:
    return modules | {f"{module}_2.13" for module in modules}


def _maven_holes(repository: Path) -> Iterator[tuple[str, Path]]:
    for pom in sorted(repository.rglob("*.pom")) if repository.is_dir() else []:
        if not _lacks(pom, pom.with_suffix(".jar")):
            continue
        module, group = pom.parents[1], pom.parents[2].relative_to(repository)
        yield f"{'.'.join(group.parts)}:{module.name}", pom.parent


def _ivy_holes(cache: Path) -> Iterator[tuple[str, Path]]:
    """Layout: cache/<organisation>/<module>/ivy-<version>.xml(.original), the jar under jars/ or bundles/."""
    for original in sorted(cache.glob("*/*/ivy-*.xml.original")):
        module = original.parent
        version = original.name.removeprefix("ivy-").removesuffix(".xml.original")
        jar = f"{module.name}-{version}.jar"
        places = (module / "jars" / jar, module / "bundles" / jar)
        if NO_JAR.search(original.read_text(errors="replace")) or any(place.exists() for place in places):
            continue
        yield f"{module.parent.name}:{module.name}", module


def _lacks(pom: Path, jar: Path) -> bool:
    return not jar.exists() and NO_JAR.search(pom.read_text(errors="replace")) is None
