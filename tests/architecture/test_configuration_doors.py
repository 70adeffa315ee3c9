"""Where a configuration is validated, and by which model a section is read: what types cannot say."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nightrank.pipeline.config import NightConfig
from tests.architecture.tree import modules, name_of

CONFIG = "nightrank.feature_store.contracts.config"
DOORS = {
    "nightrank.feature_store.contracts.configuration": "sections, when they are first read",
    "nightrank.pipeline.config": "a run",
    "nightrank.pipeline.tune.request": "a search",
    "nightrank.spark_jobs.driver.submit": "a job that is started alone",
    "nightrank.trainer.config.ctr": "benchmarks of click rankers",
    "nightrank.trainer.tune.objective": "the settings that a trial draws",
    "nightrank.trainer.tune.space": "the settings that trials may draw",
    "nightrank.pipeline.simulate.config": "no configuration of a run: a market",
    "nightrank.spark_jobs.sources.mapping": "no configuration of a run: column names",
    "nightrank.spark_jobs.sources.guess.look": "no configuration of a run: column names",
}


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def validates(path: Path) -> bool:
    """It calls `validate` of contracts/config.py, under whatever name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}": alias.asname or alias.name for alias in node.names}
            names |= {full[f"{CONFIG}.validate"]} if f"{CONFIG}.validate" in full else set()
            names |= {f"{full[CONFIG]}.validate"} if CONFIG in full else set()
    return any(ast.unparse(call.func) in names for call in calls(path))


def sections_read() -> Iterator[tuple[str, str, str]]:
    """(module, name of the section, name of its model) of every `.section("name", Model)`."""
    for path in modules():
        for call in calls(path):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "section" and len(call.args) == 2:
                name = call.args[0]
                if isinstance(name, ast.Constant):
                    yield name_of(path), str(name.value), ast.unparse(call.args[1])


def model_of(dotted: str) -> Any:
    model: Any = NightConfig
    for part in dotted.split("."):
        assert issubclass(model, BaseModel) and part in model.model_fields, dotted
        model = model.model_fields[part].annotation
    return model


def test_a_configuration_is_validated_at_its_doors_alone() -> None:
    assert {name_of(path) for path in modules() if validates(path)} == {*DOORS}


def test_every_section_is_read_by_the_model_that_the_door_validates_it_with() -> None:
    found = list(sections_read())
    assert len({name for _, name, _ in found}) > 12
    assert [one for one in found if model_of(one[1]).__name__ != one[2]] == []
