"""A click bundle as an MLflow pyfunc through models-from-code."""

from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts import columns as c
from nightrank.ranker.ctr.bundle import CtrInfo, load_ctr_bundle, read_ctr_info
from nightrank.trainer.tracking.logged_model import code, requirements
from nightrank.trainer.tracking.tracker import MANIFEST


def log_ctr_model(mlflow_run: str, folder: Path, manifest: str) -> str:
    """URI of the new logged model, tagged with the manifest. `mlflow_run` is its source run."""
    import mlflow
    import pandas as pd

    info = read_ctr_info(folder)
    with mlflow.start_run(run_id=mlflow_run, log_system_metrics=False), code() as paths:
        logged = mlflow.pyfunc.log_model(
            name="ctr",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(folder)},
            code_paths=[str(path) for path in paths],
            pip_requirements=requirements(info.ctr.name),
            signature=_signature(info),
            input_example=pd.DataFrame([_example(folder, info)]),
            tags={MANIFEST: manifest},
        )
    return str(logged.model_uri)


def _example(folder: Path, info: CtrInfo) -> dict[str, Any]:
    """One row: the first known value of each field, the mean of each number."""
    codes = load_ctr_bundle(folder).codes
    row: dict[str, Any] = {name: next(iter(known[:1].to_pylist()), "") for name, known in codes.values.items()}
    row |= {number.name: number.mean for number in info.shapes.numeric}
    if info.ctr.reads_history and info.shapes.history is not None:
        row[c.HISTORY] = codes.values[info.shapes.history][:3].to_pylist()
    return row


def _signature(info: CtrInfo) -> Any:
    """A field may hold text or integers and a number either kind, so their types are left open; `history` is asked for where
    the ranker reads it. Out comes one probability a label."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

    names = [*(field.name for field in info.shapes.fields), *(number.name for number in info.shapes.numeric)]
    inputs: list[Any] = [ColSpec(AnyType(), name) for name in names]
    if info.ctr.reads_history:
        inputs.append(ColSpec(AnyType(), c.HISTORY))
    outputs: list[Any] = [ColSpec(DataType.double, label) for label in info.shapes.labels]
    return ModelSignature(Schema(inputs), Schema(outputs))
