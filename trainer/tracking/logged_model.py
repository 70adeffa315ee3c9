"""A bundle as an MLflow pyfunc through models-from-code: the script, the bundle, the two packages it imports, four pins."""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nightrank import IMPORT_PATH
from nightrank.ranker.bundle.files import read_info, read_vocabulary
from nightrank.trainer.tracking.tracker import MANIFEST

REQUIREMENTS: Final = ("mlflow", "torch", "pyarrow", "safetensors")
"""All that the logged model needs; what these bring along (pandas, numpy, pydantic, pyyaml) is enough."""
PURE: Final = ("as_of.py", "days.py", "derive.py")
"""Of `feature_store`: how aggregates are looked up, numpy alone."""
MORE: Final = {"causal_lm": ("transformers",), "bert_behaviour": ("transformers", "peft")}
"""Packages that the model needs because of its user encoder."""


def log_model(mlflow_run: str, folder: Path, manifest: str) -> str:
    """URI of the new logged model, tagged with the manifest. `mlflow_run` is its source run."""
    import mlflow

    info = read_info(folder)
    example = {"history": read_vocabulary(folder, info.items)[:3].to_pylist(), "k": 10}
    with mlflow.start_run(run_id=mlflow_run, log_system_metrics=False), code() as paths:
        logged = mlflow.pyfunc.log_model(
            name="ranker",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(folder)},
            code_paths=[str(path) for path in paths],
            pip_requirements=[
                *requirements(info.ranker.encoder.name),
                *(f"{name}=={version}" for name, version in info.plugins.items()),
            ],
            signature=_signature(info.features is not None),
            input_example=_frame([example]),
            tags={MANIFEST: manifest},
        )
    return str(logged.model_uri)


def requirements(encoder: str) -> list[str]:
    """Pins of what a model with that user encoder needs, at the versions of this environment (torch without its suffix)."""
    names = (*REQUIREMENTS, *MORE.get(encoder, ()))
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


@contextmanager
def code() -> Iterator[list[Path]]:
    """Copies of the two packages the model imports: `ranker`, and of `feature_store` the contracts and PURE."""
    source = IMPORT_PATH / "nightrank"
    skip = shutil.ignore_patterns("__pycache__")
    with tempfile.TemporaryDirectory(prefix="nightrank-code-") as scratch:
        package = Path(scratch) / "nightrank"
        shutil.copytree(source / "ranker", package / "ranker", ignore=skip)
        shutil.copytree(source / "feature_store" / "contracts", package / "feature_store" / "contracts", ignore=skip)
        for name in PURE:
            shutil.copy(source / "feature_store" / name, package / "feature_store")
        (package / "feature_store" / "__init__.py").touch()
        shutil.copy(source / "__init__.py", package)
        yield [package]


def _signature(reads_features: bool) -> Any:
    """`history` may hold text or integers, so its type is left open; all else may be left out, also what is `unavailable`."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    beside = ("times", "actions", "attributes") if reads_features else ()
    more = [ColSpec(AnyType(), name, required=False) for name in beside]
    inputs = Schema([ColSpec(AnyType(), "history"), ColSpec(DataType.long, "k", required=False), *more])
    outputs: list[Any] = [
        ColSpec(kind, name)
        for name, kind in (
            ("row", DataType.long),
            ("rank", DataType.long),
            ("item_id", DataType.string),
            ("score", DataType.double),
        )
    ]
    hidden = ParamSpec("unavailable", DataType.string, default=[], shape=(-1,))
    return ModelSignature(inputs, Schema(outputs), ParamSchema([hidden]))


def _frame(rows: list[dict[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows)
