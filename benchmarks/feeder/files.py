"""The tables that are fed: 40 numeric columns; sequences of about nine events; the same sequences padded to one length."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, Part, PinnedFile, SplitRule
from nightrank.feature_store.contracts.storage import Location

COLUMNS: Final = tuple(f"f{i:02d}" for i in range(40))
LISTS: Final = ("items", "actions", "times")
GROUP: Final = 100_000
LONGEST: Final = 50
ITEMS: Final = 20_000
Make = Callable[[np.random.Generator, int], pa.Table]


@dataclass(frozen=True)
class Files:
    """A table of one row group a file, and what is counted of it: its rows, or the events in them."""

    root: Path | Location
    part: Part
    units: int

    @property
    def paths(self) -> list[Path]:
        return [self.root / "tables" / self.part.table / file.path for file in self.part.files]

    def snapshot(self) -> DatasetSnapshot:
        return DatasetSnapshot(
            kind="full",
            date="2024-01-01",
            clock="real",
            parts={"train": self.part},
            normalisation=Normalisation(),
            split=SplitRule(kind="leave_one_out", holdout_modulus=10),
            event_time_cutoff=0,
            availability_cutoff=0,
            seed=1,
            items=ITEMS,
            users=1,
        )


def write(root: Path, table: str, rows: int, make: Make) -> Files:
    """File k holds `make`'s rows from seed k, so two tables made of the same generator hold the same rows."""
    folder = root / "tables" / table
    folder.mkdir(parents=True)
    files, units = [], 0
    for number in range(-(-rows // GROUP)):
        count = min(GROUP, rows - number * GROUP)
        path = folder / f"part-{number:05d}.parquet"
        made = make(np.random.default_rng(number), count)
        pq.write_table(made, path, row_group_size=GROUP)
        units += int(np.sum(made["n"].to_numpy())) if "n" in made.column_names else count
        files.append(PinnedFile(path=path.name, rows=count, row_groups=(count,), bytes=path.stat().st_size))
    return Files(root, Part(table=table, version=0, files=tuple(files), schema_fingerprint="bench"), units)


def numeric_rows(random: np.random.Generator, rows: int) -> pa.Table:
    """Whole numbers as float32, so that sums are exact in any order."""
    return pa.table({name: random.integers(0, 1000, rows).astype(np.float32) for name in COLUMNS})


def sequence_rows(random: np.random.Generator, rows: int) -> pa.Table:
    """About nine events a row, as in the public 5-core sets."""
    n = np.clip(random.geometric(1 / 7, rows) + 2, 3, LONGEST)
    offsets = pa.array(np.concatenate([[0], np.cumsum(n)]), pa.int32())
    tokens = int(n.sum())
    users = random.integers(1, 10**9, rows)
    values = {
        "items": random.integers(1, ITEMS, tokens).astype(np.int32),
        "actions": np.full(tokens, 2, np.int8),
        "times": np.sort(random.integers(0, 10**15, tokens)),
    }
    columns = {
        "user": pa.array(users, pa.int32()),
        "n": pa.array(n, pa.int32()),
        "loss_from": pa.array(np.ones(rows), pa.int32()),
        "split": pa.array(["train"] * rows),
        "source": pa.array(["history"] * rows),
        "weight": pa.array(np.ones(rows), pa.float32()),
        **{name: pa.ListArray.from_arrays(offsets, pa.array(values[name])) for name in LISTS},
    }
    return pa.table(columns, schema=schemas.EXAMPLES)


def padded_rows(random: np.random.Generator, rows: int) -> pa.Table:
    """The same, every list filled up with zeros to LONGEST: Petastorm's own worker refuses lists of differing lengths."""
    table = sequence_rows(random, rows)
    filled = np.arange(LONGEST) < table["n"].to_numpy()[:, None]
    offsets = pa.array(np.arange(rows + 1) * LONGEST, pa.int32())
    for name in LISTS:
        values = table[name].chunk(0).values.to_numpy()
        wide = np.zeros((rows, LONGEST), values.dtype)
        wide[filled] = values
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.ListArray.from_arrays(offsets, pa.array(wide.ravel())))
    return table
