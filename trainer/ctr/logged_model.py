"""A click bundle as an MLflow pyfunc through models-from-code."""

from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import PREFIXES, named_by_rows
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
    bundle = load_ctr_bundle(folder)
    codes = bundle.codes
    first = {name: next(iter(known[:1].to_pylist()), "") for name, known in codes.values.items()}
    row: dict[str, Any] = dict.fromkeys(_inputs(info), "") | first
    row |= {number.name: number.mean for number in info.shapes.numeric if number.name in row}
    if bundle.sums is not None:
        row[c.EVENT_TIME] = bundle.sums.newest
    if info.ctr.reads_history and info.shapes.history is not None:
        row[c.HISTORY] = codes.values[info.shapes.history][:3].to_pylist()
    return row


def _inputs(info: CtrInfo) -> list[str]:
    """Fields, numbers and, where aggregates are looked up, what they are looked up by."""
    numbers, fields = [number.name for number in info.shapes.numeric], [field.name for field in info.shapes.fields]
    named: dict[str, tuple[str, ...]] = {} if info.timezone is None else named_by_rows(numbers)
    looked_up = {f"{PREFIXES[entity]}{name}" for entity, names in named.items() for name in names}
    keys = [name for name in (*named, c.EVENT_TIME) if named and name not in fields]
    return [*fields, *(name for name in numbers if name not in looked_up), *keys]


def _signature(info: CtrInfo) -> Any:
    """A field may hold text or integers and a number either kind, so their types are left open; `history` is asked for where
    the ranker reads it. Out comes one probability a label."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

    inputs: list[Any] = [ColSpec(AnyType(), name) for name in _inputs(info)]
    if info.ctr.reads_history:
        inputs.append(ColSpec(AnyType(), c.HISTORY))
    outputs: list[Any] = [ColSpec(DataType.double, label) for label in info.shapes.labels]
    return ModelSignature(Schema(inputs), Schema(outputs))
