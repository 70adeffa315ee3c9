"""A stage reads no section of the configuration that its fingerprint does not know of."""

import ast
from pathlib import Path

import pytest

import nightrank
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.inputs import HOW, INPUTS
from nightrank.pipeline.config import NightConfig
from nightrank.pipeline.stages import STAGES
from nightrank.spark_jobs.driver.sections import DataSections

ROOT = Path(nightrank.__file__).parent
SECTIONS = set(NightConfig.model_fields) - HOW - {"seed"}
ROOMS = ("nightrank.spark_jobs", "nightrank.trainer")
STARTED = [stage for stage in STAGES if stage.module.startswith(ROOMS)]


def path_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split(".")[1:])
    found = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return found if found.exists() else None


def imported(tree: ast.Module) -> set[str]:
    """Modules of the two rooms that the code imports; drivers, which read every section to validate it, left out."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return {name for name in names if name.startswith(ROOMS) and "spark_jobs.driver" not in name and path_of(name)}


def read_by(tree: ast.Module) -> set[str]:
    """`settings.SECTION` and `context.section("SECTION", ...)`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings":
            found.add(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "section":
            found |= {each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return found & SECTIONS


def sections_read(module: str) -> set[str]:
    todo, seen, found = [module], set[str](), set[str]()
    while todo:
        name = todo.pop()
        path = path_of(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        tree = ast.parse(path.read_text())
        found |= read_by(tree)
        # Another stage's module lends functions; what it reads in its own run is its own.
        others = {stage.module for stage in STARTED} - {module}
        todo += imported(tree) - others
    return found


@pytest.mark.parametrize("stage", STARTED, ids=lambda stage: stage.name)
def test_a_stage_reads_what_it_declares(stage):
    declared = {name.partition(".")[0] for name in INPUTS[stage.name].sections or ()}
    assert sections_read(stage.module) <= declared, f"add the section to contracts/inputs.py, stage {stage.name}"


@pytest.mark.parametrize("stage", [each for each in STARTED if "spark_jobs" in each.module], ids=lambda stage: stage.name)
def test_a_stage_is_given_the_whole_of_each_section_that_it_reads(stage):
    given = DataSections(Configuration.from_run({}).of_stage(stage.name))
    for name in sections_read(stage.module) & set(vars(DataSections)):
        assert getattr(given, name) is not None


def test_the_check_finds_what_stages_read():
    assert {"ids", "ingest", "calendar"} <= sections_read("nightrank.spark_jobs.ingest_events")
    assert {"gate", "text"} <= sections_read("nightrank.trainer.stages.gate")
