"""One door per engine: what a layer contract cannot say. The layers themselves are in pyproject.toml (import-linter)."""

import ast
import re
import sys

import pytest

from tests.architecture.tree import ROOT, imports_of, modules, name_of

TORCH_PRIVATE = re.compile(r"torch(\.\w+)*\._(?!_)|torch\.ops\b")


def imports(path, package):
    return any(i.module == package or i.module.startswith(f"{package}.") for i in imports_of(path))


def importers(package, *rooms):
    return {name_of(path) for path in modules(*rooms) if imports(path, package)}


def test_only_delta_io_imports_delta():
    assert importers("delta") == {"nightrank.feature_store.delta_io"}


def test_only_petastorm_reader_imports_petastorm():
    assert importers("petastorm") == {"nightrank.trainer.data.petastorm_reader"}


def test_only_the_search_imports_optuna_and_workers_do_not_load_it():
    names = importers("optuna")
    assert names and all(name.startswith("nightrank.trainer.tune.") for name in names)
    assert (
        not {
            "nightrank.trainer.config.tune",
            "nightrank.trainer.tune.space",
            "nightrank.trainer.tune.spec",
            "nightrank.trainer.worker.trial",
        }
        & names
    )


def test_only_session_builds_a_spark_session():
    builders = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "builder" and "SparkSession" in ast.unparse(node.value):
                builders.add(name_of(path))
    assert builders == {"nightrank.feature_store.session"}


def test_only_executor_code_imports_the_ranker_on_sparks_side():
    outside = {
        name
        for name in importers("nightrank.ranker", "spark_jobs", "feature_store")
        if not name.startswith("nightrank.spark_jobs.executor")
    }
    assert outside == set()


def test_spark_drivers_and_the_pipeline_never_name_torch():
    outside = {name for name in importers("torch", "spark_jobs", "feature_store", "pipeline") if ".executor" not in name}
    assert outside == set()


def test_the_ranker_knows_of_the_feature_store_only_its_contracts_and_how_features_are_looked_up():
    pure = ("nightrank.feature_store.as_of", "nightrank.feature_store.days")
    wrong = [
        f"{name_of(path)}: {i.module}"
        for path in modules("ranker")
        for i in imports_of(path)
        if i.module.startswith("nightrank.feature_store") and not i.module.startswith("nightrank.feature_store.contracts")
        if not i.module.startswith(pure)
    ]
    assert wrong == []
    imported = {i.module.split(".")[0] for path in modules("feature_store") if name_of(path) in pure for i in imports_of(path)}
    assert imported - {"nightrank"} <= {"collections", "datetime", "functools", "numpy", "typing", "zoneinfo"}


def test_mlflow_is_imported_inside_functions_of_its_rooms_only():
    """But for the files that are handed to MLflow as a model's code: there MLflow imports us."""
    at_top = [name_of(p) for p in modules() for i in imports_of(p) if i.module.split(".")[0] == "mlflow" and i.at_top]
    rooms = {name.split(".")[1] for name in importers("mlflow")}
    assert set(at_top) <= {"nightrank.trainer.tracking.pyfunc_model", "nightrank.trainer.ctr.pyfunc_model"} and rooms <= {
        "trainer",
        "spark_jobs",
    }


def private_names_of_torch(source: str) -> set[str]:
    """`torch._x`, `torch.a._x`, `torch.ops.x` and imports of such, as they stand in the source."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name for name in names if TORCH_PRIVATE.match(name)}
    return found


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("torch._foreach_add_(a, b)", True),
        ("torch.cpu._is_amx_tile_supported()", True),
        ("torch.ops.mkldnn.linear(a)", True),
        ("from torch.utils._pytree import tree_map", True),
        ("import torch._dynamo", True),
        ("torch.__version__; torch.nn.functional.linear(a)", False),
        ("from torch.overrides import TorchFunctionMode", False),
    ],
)
def test_private_names_are_told_from_public_ones(source, private):
    assert bool(private_names_of_torch(source)) is private


def test_only_one_file_uses_private_names_of_torch():
    """But for a measurement that looks on while torch works."""
    paths = [*modules(), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    users = {str(path.relative_to(ROOT)) for path in paths if private_names_of_torch(path.read_text())}
    assert users == {"ranker/private_torch.py", "benchmarks/products.py"}


def test_only_the_dag_imports_airflow():
    names = importers("airflow")
    assert (
        names
        and {name for name in names if not name.startswith(("nightrank.pipeline.dag.", "nightrank.pipeline.airflow_dag"))}
        == set()
    )


@pytest.mark.parametrize("path", [ROOT / "pipeline/stages.py", ROOT / "pipeline/airflow_dag.py", *modules("pipeline/dag")])
def test_the_list_of_stages_and_the_dag_are_cheap_to_parse(path):
    """The standard library, Airflow, and each other: Airflow's environment has none of our packages."""
    packages = {i.module.split(".")[0] for i in imports_of(path)}
    assert packages <= {*sys.stdlib_module_names, "airflow", "nightrank"}
    ours = {i.module for i in imports_of(path) if i.module.startswith("nightrank.")}
    assert {name for name in ours if not name.startswith(("nightrank.pipeline.stages", "nightrank.pipeline.dag"))} == set()
