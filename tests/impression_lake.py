"""A lake with impressions written by hand: pinned files and codes as build_training_set leaves them, without Spark."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.config import overlay, validate
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.process import this_process
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Impressions
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.trainer.config.ctr import CtrTrainerConfig
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.training import TrainerConfig
from tests.ctr_batches import SHAPES, SMALL, impressions
from tests.snapshots import make_snapshot, write_part

LABELS = ("click", "cart")
LAKE_SHAPES = SHAPES.model_copy(update={"labels": LABELS})
ROWS = {"train": 300, "valid": 120, "test": 80}
ALONE: dict[str, Any] = {"launcher": "one_process", "workers": 1, "precision": "fp32", "reader": "arrow"}


def pointwise(made: ImpressionBatch, **changes: list[Any]) -> pa.Table:
    """The batch as rows of the lake; `changes` are whole columns."""
    rows = made.rows
    assert made.history_T is not None and made.offsets_B1 is not None
    past, ends = made.history_T.tolist(), made.offsets_B1.tolist()
    constants = {
        "user": 1,
        "item": 1,
        "event_time": 0,
        "availability_time": 0,
        "split": "s",
        "source": "history",
        "weight": 1.0,
    }
    columns: dict[str, list[Any]] = {name: [value] * rows for name, value in constants.items()}
    columns |= {"codes": made.codes_BF.tolist(), "numeric": made.numeric_BD.tolist(), "labels": made.labels_BA.tolist()}
    return pa.table({**columns, "history": [past[a:b] for a, b in pairwise(ends)], **changes}, schema=schemas.POINTWISE)


def rows_of(split: str, **changes: list[Any]) -> pa.Table:
    return pointwise(impressions(ROWS[split], LAKE_SHAPES, seed=list(ROWS).index(split)), **changes)


def impression_lake(
    root: Path, more: dict[Any, Any] | None = None, inputs: dict[str, Any] | None = None, **other: pa.Table
) -> DatasetSnapshot:
    """Parts `impressions_<split>` and `impression_codes`, and the saved snapshot that pins them. `other` rows stand for a
    split's own; `more` parts are pinned too; `inputs` change what the rows are said to hold."""
    tables = {split: other.get(split, rows_of(split)) for split in ROWS}
    parts: dict[Any, Any] = {
        f"impressions_{split}": write_part(root, f"impressions_{split}", table, _groups(table.num_rows))
        for split, table in tables.items()
    }
    parts["impression_codes"] = write_part(root, "impression_codes", code_rows(), _groups(code_rows().num_rows))
    held: dict[str, Any] = {"numeric": ("price",), "mean": (2.0,), "scale": (4.0,), **(inputs or {})}
    spec = Impressions(
        fields=tuple(field.name for field in SHAPES.fields), sizes=tuple(field.size for field in SHAPES.fields),
        labels=LABELS, history="item", history_length=3, history_actions=("click",), valid_from=1, test_from=2, **held,
    )  # fmt: skip
    snapshot = make_snapshot({**parts, **(more or {})}, items=12, users=8, impressions=spec)
    snapshot.save(root / "snapshots" / f"{snapshot.id}.json")
    return snapshot


def code_rows() -> pa.Table:
    """Values `user 01`, `user 02`, ... of every field, in another order than that of their codes."""
    rows = [(f.name, f"{f.name} {code:02}", code) for f in reversed(SHAPES.fields) for code in range(f.size - 1, 0, -1)]
    columns = dict(zip(schemas.IMPRESSION_CODES.names, map(list, zip(*rows, strict=True)), strict=True))
    return pa.table(columns, schema=schemas.IMPRESSION_CODES)


def _groups(rows: int) -> list[list[int]]:
    """Two files, the first of two row groups."""
    return [[rows // 3, rows // 3], [rows - 2 * (rows // 3)]]


def ctr_section(name: str = "dnn", **changes: Any) -> dict[str, Any]:
    """Section `ctr` of a small ranker."""
    body = {"model": {"name": name, **SMALL[name]}, "batch_rows": 40, "learning_rate": 0.01, "epochs": 3}
    return overlay(body, changes)


def ctr_job(root: Path, snapshot: DatasetSnapshot, ctr: dict[str, Any], run_id: str = "r1", **trainer: Any) -> Job:
    return Job(
        root=str(root), run_id=run_id, kind="full", date=snapshot.date, seed=17, attempt=1,
        snapshot=str(root / "snapshots" / f"{snapshot.id}.json"), config=validate(TrainerConfig, {**ALONE, **trainer}),
        ctr=validate(CtrTrainerConfig, ctr), launcher=this_process(),
    )  # fmt: skip


def write_ctr_run(root: Path, run_id: str, snapshot: DatasetSnapshot, **config: Any) -> Path:
    """A run's folder as the stages before train_ctr leave it. Returns it."""
    run_dir = root / "runs" / run_id
    body = {"root": str(root), "run_id": run_id, "kind": "full", "date": snapshot.date, "seed": 17, "fence": 0}
    write_json(run_dir / "run.json", {**body, "config": config})
    named = {"id": snapshot.id, "path": f"snapshots/{snapshot.id}.json", "rows": {}, "kind": "full"}
    left = {"name": "build_training_set", "seconds": 1.0, "output": {"snapshot": named}}
    write_json(run_dir / "stages" / "build_training_set.json", left)
    return run_dir
