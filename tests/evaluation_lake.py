"""A lake with one finished training run, written by hand, for the tests of stages evaluate and gate."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from deltalake import write_deltalake

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.outputs.trained import ModelFiles, Trained
from nightrank.feature_store.contracts.outputs.training_set import SnapshotFacts, TrainingSet
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig, TransformerConfig
from nightrank.ranker.inputs import ItemInputs
from tests.snapshots import Example, examples_table, make_snapshot, write_part

ITEMS = 40
USERS = 300


def sequences(users: int = USERS, seed: int = 3) -> list[list[int]]:
    """Each user's items, no item twice; item ITEMS is never among the first, so it is cold."""
    random = np.random.default_rng(seed)
    return [random.permutation(np.arange(1, ITEMS))[: random.integers(4, 9)].tolist() for _ in range(users)]


def context_of(root: Path, run_id: str = "run-1", kind: str = "full", **config: object) -> StageContext:
    context = StageContext(root, run_id, kind, date(2024, 3, 1), 17, 0, Configuration.from_run(config))
    write_json(context.run_dir / "run.json", {"run_id": run_id, "kind": kind})
    return context


def stage(context: StageContext, name: str, **fields: object) -> None:
    StageResult(name=name, **fields).save(context)  # type: ignore[arg-type]


def published(
    root: Path, rows: list[list[int]], holdout: list[list[int]] | None = None, times: list[list[int]] | None = None
) -> DatasetSnapshot:
    """Leave one out by hand: `train` less the last item, `test` the whole; `holdout` as given."""
    train = [Example(user, items[:-1]) for user, items in enumerate(rows, 1)]
    clock = times or [None] * len(rows)
    test = [Example(user, items, len(items) - 1, times=clock[user - 1]) for user, items in enumerate(rows, 1)]
    kept = [Example(user, items, len(items) - 1) for user, items in enumerate(holdout or [], 1)]
    names = [("item", f"i{i}", i) for i in range(1, ITEMS + 1)] + [("user", f"u{i}", i) for i in range(1, len(rows) + 1)]
    columns = {name: [row[i] for row in names] for i, name in enumerate(("kind", "raw_id", "dense_id"))}
    nothing = [None] * len(names)
    vocabulary = pa.table({**columns, "first_available": nothing, "landing_date": nothing}, schema=schemas.VOCABULARY)
    parts = {
        "train": write_part(root, "examples_train", examples_table(train, "train"), [[len(train)]]),
        "test": write_part(root, "examples_test", examples_table(test, "test"), [[len(test)]]),
        "vocabulary": write_part(root, "vocabulary", vocabulary, [[len(names)]]),
    }
    if kept:
        parts["holdout"] = write_part(root, "examples_holdout", examples_table(kept, "holdout"), [[len(kept)]])
    snapshot = make_snapshot(parts, items=ITEMS, users=len(rows), filter_seen_actions=(2,))
    snapshot.save(Lake(root).snapshot(snapshot.id))
    return snapshot


def bundle(root: Path, seed: int, items: int = ITEMS) -> str:
    """A ranker nobody trained, stored; its folder relative to the lake."""
    inputs = ItemInputs(items, popularity=torch.arange(items + 1).float())
    model = compose(RankerConfig(width=8, encoder=TransformerConfig(max_length=10)), inputs, seed=seed).eval()
    raw = [f"i{i}" for i in range(1, items + 1)]
    return "models/" + store_bundle(Lake(root).bundles, model, raw, snapshot_id="s", lineage="l")


def ref_of(folder: str, run_id: str = "run-1", version: int = 1, day: str = "2024-03-01") -> ModelRef:
    return ModelRef(
        name="nightrank",
        version=version,
        alias="challenger",
        mlflow_run_id="m",
        manifest_sha256=folder.removeprefix("models/"),
        vocabulary_lineage="l",
        vocabulary_items=ITEMS,
        snapshot_id="s",
        run_id=run_id,
        date=day,
        bundle=folder,
    )


def training_set(snapshot: DatasetSnapshot) -> TrainingSet:
    return TrainingSet(snapshot=SnapshotFacts(id=snapshot.id, path="", rows={}, kind=snapshot.kind))


def trained(context: StageContext, snapshot: DatasetSnapshot, measured: str | None, live: str) -> None:
    """The marks that stages build_training_set, train and register leave."""
    stage(context, "build_training_set", output=training_set(snapshot))
    stage(context, "train", output=Trained(training={}, model_files=ModelFiles(measured=measured, live=live)))
    ref_of(live, context.run_id).save(context.run_dir / "model_ref.json")


def write_lists(root: Path, rows: list[tuple[str, str, int, list[int]]]) -> None:
    """(who, split, user, items) as the table baseline_lists."""
    columns = list(zip(*rows, strict=True))
    data = dict(zip(("recommender", "split", "user", "items"), columns, strict=True))
    data["scores"] = [[1.0] * len(items) for items in columns[3]]
    table = pa.table({name: list(values) for name, values in data.items()}, schema=schemas.BASELINE_LISTS)
    write_deltalake(str(Lake(root).table("baseline_lists")), table, mode="overwrite")
