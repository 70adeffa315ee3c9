"""Small snapshots on real Parquet files, for tests that need rows but no Spark."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, Part, PartName, PinnedFile, SplitRule


@dataclass(frozen=True)
class Example:
    """One training row, written out."""

    user: int
    items: Sequence[int]
    loss_from: int = 1
    actions: Sequence[int] | None = None
    times: Sequence[int] | None = None
    weight: float = 1.0
    source: str = "history"


def examples_table(rows: Sequence[Example], split: str) -> pa.Table:
    return pa.table(
        {
            "user": [row.user for row in rows],
            "n": [len(row.items) for row in rows],
            "loss_from": [row.loss_from for row in rows],
            "split": [split] * len(rows),
            "source": [row.source for row in rows],
            "weight": [row.weight for row in rows],
            "items": [list(row.items) for row in rows],
            "actions": [list(row.actions) if row.actions is not None else [2] * len(row.items) for row in rows],
            "times": [list(row.times) if row.times is not None else list(range(len(row.items))) for row in rows],
        },
        schema=schemas.EXAMPLES,
    )


def random_examples(rows: int, items: int, seed: int = 0, longest: int = 12) -> list[Example]:
    random = np.random.default_rng(seed)
    lengths = random.integers(2, longest + 1, rows)
    return [Example(user + 1, random.integers(1, items + 1, n).tolist()) for user, n in enumerate(lengths)]


def write_part(root: Path, table: str, rows: pa.Table, groups: Sequence[Sequence[int]]) -> Part:
    """The rows as one file per entry of `groups`, each with row groups of the given sizes, pinned."""
    folder = Lake(root).table(table)
    folder.mkdir()
    files, start = [], 0
    for number, sizes in enumerate(groups):
        path = folder / f"part-{number:05d}.parquet"
        with pq.ParquetWriter(path, rows.schema) as writer:
            for size in sizes:
                writer.write_table(rows.slice(start, size), row_group_size=max(size, 1))
                start += size
        files.append(PinnedFile(path=path.name, rows=sum(sizes), row_groups=tuple(sizes), bytes=path.size))
    assert start == rows.num_rows, "groups must cover the rows"
    return Part(table=table, version=0, files=tuple(files), schema_fingerprint=sha256_of(str(rows.schema)))


def make_snapshot(parts: dict[PartName, Part], *, items: int, users: int = 0, **fields: object) -> DatasetSnapshot:
    defaults: dict[str, object] = {
        "kind": "full",
        "date": "2024-03-01",
        "clock": "real",
        "normalisation": Normalisation(),
        "split": SplitRule(kind="leave_one_out", holdout_modulus=10),
        "event_time_cutoff": 0,
        "availability_cutoff": 0,
        "seed": 17,
    }
    return DatasetSnapshot(**{**defaults, "parts": parts, "items": items, "users": users, **fields})
