"""A lake written by hand: Parquet parts and a snapshot that pins them, without Spark."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, Part, PinnedFile, SplitRule

Row = dict[str, object]
VIEW = ACTION_CODES["view"]


def row(user: int, items: Sequence[int], loss_from: int, split: str, source: str = "history") -> Row:
    n = len(items)
    return {
        "user": user,
        "n": n,
        "loss_from": loss_from,
        "split": split,
        "source": source,
        "weight": 1.0,
        "items": list(items),
        "actions": [VIEW] * n,
        "times": [1_000_000 * (p + 1) for p in range(n)],
    }


def leave_one_out(sequences: Sequence[Sequence[int]], length: int = 50) -> dict[str, list[Row]]:
    """train, refresh, valid and test rows of item sequences (dense ids), the newest `length` only."""
    parts: dict[str, list[Row]] = {"train": [], "refit": [], "valid": [], "test": []}
    for user, whole in enumerate(sequences, 1):
        n = len(whole)
        if n < 3:
            parts["train"].append(row(user, whole, 1, "train"))
            continue
        parts["test"].append(_last(user, whole, "test", length))
        parts["valid"].append(_last(user, whole[:-1], "valid", length))
        if n >= 4:
            parts["train"].append(row(user, whole[:-2][-length:], 1, "train"))
        kept = whole[-length:]
        parts["refit"].append(row(user, kept, max(len(kept) - 2, 1), "refit"))
    return parts


def _last(user: int, items: Sequence[int], split: str, length: int) -> Row:
    kept = items[-(length + 1) :]
    return row(user, kept, len(kept) - 1, split)


def write_snapshot(
    root: Path,
    parts: dict[str, list[Row]],
    items: int,
    users: int,
    *,
    kind: str = "full",
    date: str = "2024-01-01",
    text: np.ndarray | None = None,
    tokens: Sequence[Sequence[int]] | None = None,
    text_revision: str = "r",
    rows_per_file: int = 20_000,
    tag: str = "v0",
    seed: int = 17,
) -> DatasetSnapshot:
    """The parts as tables under `root`, and the snapshot in `snapshots/`. `text` is [items, W], `tokens` a list an item."""
    written = {
        name: _write(root, f"examples_{name}", rows, schemas.EXAMPLES, rows_per_file, tag) for name, rows in parts.items()
    }
    inputs = [{"item": i, "category_codes": [], "numeric": []} for i in range(1, items + 1)]
    written["items"] = _write(root, "item_inputs", inputs, schemas.ITEM_INPUTS, 10**6, tag)
    names = [(k, f"{k[0]}{i}", i) for k, count in (("item", items), ("user", users)) for i in range(1, count + 1)]
    vocabulary = [
        {"kind": k, "raw_id": raw, "dense_id": i, "first_available": None, "landing_date": None} for k, raw, i in names
    ]
    written["vocabulary"] = _write(root, "vocabulary", vocabulary, schemas.VOCABULARY, 10**7, tag)
    if text is not None:
        vectors = [
            {
                "item": i,
                "content_sha256": "0",
                "revision": text_revision,
                "vector": vector.tolist(),
                "tokens": tokens[i - 1] if tokens else None,
            }
            for i, vector in enumerate(text, 1)
        ]
        written["item_embeddings"] = _write(root, "item_embeddings", vectors, schemas.ITEM_EMBEDDINGS, 10**6, tag)
    snapshot = DatasetSnapshot(
        kind=kind,
        date=date,
        clock="position",
        parts=written,
        normalisation=Normalisation(),
        split=SplitRule(kind="leave_one_out", holdout_modulus=10),
        event_time_cutoff=0,
        availability_cutoff=0,
        seed=seed,
        items=items,
        users=users,
        text_revision=None if text is None else text_revision,
        text_width=0 if text is None else int(text.shape[1]),
        filter_seen_actions=tuple(range(2, 8)),
    )
    snapshot.save(root / "snapshots" / f"{snapshot.id}.json")
    return snapshot


def _write(root: Path, table: str, rows: list[Row], schema: pa.Schema, rows_per_file: int, tag: str) -> Part:
    folder = root / "tables" / table
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, start in enumerate(range(0, max(len(rows), 1), rows_per_file)):
        path = folder / f"{tag}-part-{number:05d}.parquet"
        chunk = pa.Table.from_pylist(rows[start : start + rows_per_file], schema=schema)
        pq.write_table(chunk, path, row_group_size=rows_per_file)
        groups = pq.ParquetFile(path).metadata
        sizes = tuple(groups.row_group(i).num_rows for i in range(groups.num_row_groups))
        files.append(PinnedFile(path=path.name, rows=chunk.num_rows, row_groups=sizes, bytes=path.stat().st_size))
    return Part(table=table, version=0, files=tuple(f for f in files if f.rows), schema_fingerprint="by hand")


def write_run(root: Path, run_id: str, snapshot: DatasetSnapshot, config: dict, kind: str = "full", seed: int = 17) -> Path:
    """A run folder as the runner and the Spark stages would have left it before `train`. Returns it."""
    run_dir = root / "runs" / run_id
    write_json(
        run_dir / "run.json",
        {
            "root": str(root),
            "run_id": run_id,
            "kind": kind,
            "date": snapshot.date,
            "seed": seed,
            "fence": 0,
            "config": json.loads(json.dumps(config)),
        },
    )
    named = {"id": snapshot.id, "path": f"snapshots/{snapshot.id}.json", "rows": {}, "kind": kind}
    write_json(run_dir / "stages" / "build_training_set.json", {"name": "build_training_set", "output": {"snapshot": named}})
    return run_dir


def synthetic_sequences(users: int, items: int, seed: int = 3, shortest: int = 4, longest: int = 20) -> list[list[int]]:
    """Sequences with something to learn: each user walks along a cycle of the items with small steps."""
    random = np.random.default_rng(seed)
    result = []
    for _ in range(users):
        steps = random.integers(1, 4, random.integers(shortest, longest + 1))
        result.append([int(i) for i in (random.integers(items) + np.cumsum(steps)) % items + 1])
    return result
