"""Rows per second into torch: our reader, Petastorm's own shuffling BatchedDataLoader, and a pyarrow scan, on the same files.

`python -m benchmarks.feeder [--rows N] [--rounds R] [--out FILE]`. Rounds are interleaved, the process is pinned to two cores.
The first round is not timed: in it the sums of every column are compared with the scan's. Three figures: ours/peer, ours/limit,
equality.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch

from feature_store.contracts import schemas
from feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, Part, PinnedFile, SplitRule
from trainer.data.epoch import EpochReader, make_plan
from trainer.data.petastorm_reader import read_row_groups
from trainer.data.plan import ReadPlan
from trainer.data.rows import ROW_COLUMNS

SUMMED = ("user", "items", "actions", "times", "weight")
COLUMNS = [f"f{i:02d}" for i in range(40)]
GROUP = 100_000
BATCH = 4096
QUEUE = 100_000
WORKERS = 2


@dataclass(frozen=True)
class Files:
    root: Path
    part: Part

    @property
    def paths(self) -> list[Path]:
        return [self.root / "tables" / self.part.table / file.path for file in self.part.files]


@dataclass(frozen=True)
class Total:
    """What a contestant delivered: rows, and the sum of each column asked for, exact in any order."""

    rows: int
    sums: tuple[int, ...]


class Tally:
    """Counts what arrives. `columns` are those whose values are summed: all of them untimed, the first one when timed."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self.rows, self._sums = 0, [0] * len(columns)

    def add(self, rows: int, column: Callable[[str], np.ndarray]) -> None:
        self.rows += rows
        for at, name in enumerate(self.columns):
            values = column(name)
            self._sums[at] += int(values.sum(dtype=np.float64 if values.dtype.kind == "f" else np.int64))

    def total(self) -> Total:
        return Total(self.rows, tuple(total % 2**64 for total in self._sums))  # sums of int64 wrap around, in any order alike


Contestant = Callable[[Files, int, Sequence[str]], Total]


def write(root: Path, table: str, rows: int, make: Callable[[np.random.Generator, int], pa.Table]) -> Files:
    folder = root / "tables" / table
    folder.mkdir(parents=True)
    files = []
    for number in range(-(-rows // GROUP)):
        count = min(GROUP, rows - number * GROUP)
        path = folder / f"part-{number:05d}.parquet"
        pq.write_table(make(np.random.default_rng(number), count), path, row_group_size=GROUP)
        files.append(PinnedFile(path=path.name, rows=count, row_groups=(count,), bytes=path.stat().st_size))
    return Files(root, Part(table=table, version=0, files=tuple(files), schema_fingerprint="bench"))


def numeric_rows(random: np.random.Generator, rows: int) -> pa.Table:
    """Whole numbers as float32, so that sums are exact in any order."""
    return pa.table({name: random.integers(0, 1000, rows).astype(np.float32) for name in COLUMNS})


def sequence_rows(random: np.random.Generator, rows: int) -> pa.Table:
    """About nine events a row, as in the public 5-core sets."""
    n = np.clip(random.geometric(1 / 7, rows) + 2, 3, 50)
    offsets = pa.array(np.concatenate([[0], np.cumsum(n)]), pa.int32())
    tokens = int(n.sum())

    def lists(values: np.ndarray) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, pa.array(values))

    columns = [
        pa.array(random.integers(1, 10**9, rows), pa.int32()),
        pa.array(n, pa.int32()),
        pa.array(np.ones(rows), pa.int32()),
        pa.array(["train"] * rows),
        pa.array(["history"] * rows),
        pa.array(np.ones(rows), pa.float32()),
        lists(random.integers(1, 20_000, tokens).astype(np.int32)),
        lists(np.full(tokens, 2, np.int8)),
        lists(np.sort(random.integers(0, 10**15, tokens))),
    ]
    return pa.table(columns, schema=schemas.EXAMPLES)


def ours_numeric(files: Files, epoch: int) -> Iterator[torch.Tensor]:
    """[40, rows] batches under a ReadPlan: a window's columns stand in one block, so one permutation serves all of them."""
    plan = ReadPlan(tuple(file.rows for file in files.part.files), 1, epoch, 1, BATCH, GROUP)
    segments = plan.segments(0)
    tables = read_row_groups([(path, 1) for path in files.paths], [s.group for s in segments], COLUMNS, WORKERS)
    kept = np.zeros((len(COLUMNS), 0), np.float32)
    pairs = zip(segments, tables, strict=True)
    for window in plan.windows(0):
        while kept.shape[1] < window.rows:
            segment, table = next(pairs)
            block = np.stack([table.column(name).chunk(0).to_numpy() for name in COLUMNS])
            block = block[:, plan.row_order(segment)] if segment.rows < block.shape[1] else block
            kept = np.concatenate([kept, block], axis=1) if kept.shape[1] else block
        # `take` would copy a block that is not contiguous, once a batch.
        inside, kept = np.ascontiguousarray(kept[:, : window.rows]), kept[:, window.rows :]
        for places in plan.batches(window, 0, np.zeros(window.rows, np.int64)):
            yield torch.from_numpy(inside.take(places, axis=1))


def run_ours_numeric(files: Files, epoch: int, summed: Sequence[str]) -> Total:
    tally = Tally(summed)
    for batch in ours_numeric(files, epoch):
        tally.add(batch.shape[1], lambda name, batch=batch: batch[COLUMNS.index(name)].numpy())
    return tally.total()


def run_petastorm(files: Files, epoch: int, summed: Sequence[str]) -> Total:
    from petastorm import make_batch_reader
    from petastorm.pytorch import BatchedDataLoader

    tally = Tally(summed)
    urls = [f"file://{path}" for path in files.paths]
    reader = make_batch_reader(urls, workers_count=WORKERS, num_epochs=1, shuffle_row_groups=True, seed=epoch + 1)
    with BatchedDataLoader(reader, batch_size=BATCH, shuffling_queue_capacity=QUEUE) as loader:
        for batch in loader:
            tally.add(len(batch[COLUMNS[0]]), lambda name, batch=batch: batch[name].numpy())
    return tally.total()


def run_scan(columns: Sequence[str]) -> Contestant:
    """Reads every column and makes nothing of them: the limit."""

    def run(files: Files, epoch: int, summed: Sequence[str]) -> Total:
        tally = Tally(summed)
        for batch in ds.dataset([str(path) for path in files.paths]).to_batches(columns=list(columns)):
            tally.add(batch.num_rows, lambda name, batch=batch: flat(batch.column(name)))
        return tally.total()

    return run


def flat(column: pa.Array) -> np.ndarray:
    return (column.flatten() if pa.types.is_list(column.type) else column).to_numpy()


def run_ours_sequences(files: Files, epoch: int, summed: Sequence[str]) -> Total:
    snapshot = DatasetSnapshot(
        kind="full",
        date="2024-01-01",
        clock="real",
        parts={"train": files.part},
        normalisation=Normalisation(),
        split=SplitRule(kind="leave_one_out", holdout_modulus=10),
        event_time_cutoff=0,
        availability_cutoff=0,
        seed=1,
        items=20_000,
        users=1,
    )
    plan = make_plan(snapshot, "train", seed=1, epoch=epoch, world_size=1, batch_rows=BATCH)
    fields = {"user": "users_B", "items": "items_T", "actions": "actions_T", "times": "times_T", "weight": "weight_B"}
    tally = Tally(summed)
    for batch in EpochReader(snapshot, files.root, "train", plan, 0, workers=WORKERS):
        tally.add(batch.rows, lambda name, batch=batch: getattr(batch, fields[name]).numpy())
    return tally.total()


def race(name: str, files: Files, contestants: dict[str, Contestant], rounds: int, every: Sequence[str]) -> dict[str, object]:
    """Rows/s of each contestant in each round, the rounds interleaved, and whether all delivered the same rows.

    A round that came up short (Petastorm's stock pool loses row groups, at times all of them) has no rate and is counted.
    """
    rates: dict[str, list[float]] = {who: [] for who in contestants}
    cpu: dict[str, list[float]] = {who: [] for who in contestants}
    totals: dict[str, set[Total]] = {who: set() for who in contestants}
    whole: dict[str, Total] = {}
    shortages = dict.fromkeys(contestants, 0)
    for number in range(rounds + 1):
        for who, run in contestants.items():
            started, used = time.perf_counter(), time.process_time()
            total = run(files, number, every[:1] if number else every)
            seconds = time.perf_counter() - started
            if number and total.rows == files.part.rows:  # the first round warms caches and compares
                rates[who].append(total.rows / seconds)
                cpu[who].append((time.process_time() - used) / total.rows * 1e6)
            totals[who].add(total if number else Total(total.rows, total.sums[:1]))
            if not number:
                whole[who] = total
            shortages[who] += total.rows != files.part.rows
            print(f"{name} round {number}: {who} {total.rows / seconds / 1e6:.2f} M rows/s", file=sys.stderr)
    medians = {who: statistics.median(values or [0.0]) for who, values in rates.items()}
    wanted = totals["scan"]
    return {
        "rows": files.part.rows,
        "rows_per_second": {who: [round(v) for v in values] for who, values in rates.items()},
        "median": {who: round(value) for who, value in medians.items()},
        "cpu_seconds_per_million_rows": {who: round(statistics.median(values or [0.0]), 3) for who, values in cpu.items()},
        "ours_over_peer": round(medians["ours"] / medians["petastorm"], 3) if medians.get("petastorm") else None,
        "ours_over_limit": round(medians["ours"] / medians["scan"], 3),
        "short_rounds": {who: short for who, short in shortages.items() if short},
        "equal": {who: found == wanted and whole[who] == whole["scan"] for who, found in totals.items()},
    }


def machine() -> dict[str, object]:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else platform.processor(),
        "cores": sorted(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "pyarrow": pa.__version__,
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "feeder.json")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    torch.set_num_threads(1)  # with more, the peer's small tensors spend their time waiting for torch's threads
    pa.set_cpu_count(2)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        numeric = write(Path(folder), "numeric", arguments.rows, numeric_rows)
        sequences = write(Path(folder), "sequences", arguments.rows, sequence_rows)
        result = {
            "machine": machine(),
            "numeric_40_columns": race(
                "numeric",
                numeric,
                {"ours": run_ours_numeric, "petastorm": run_petastorm, "scan": run_scan(COLUMNS)},
                arguments.rounds,
                COLUMNS,
            ),
            "sequences": race(
                "sequences",
                sequences,
                {"ours": run_ours_sequences, "scan": run_scan(ROW_COLUMNS)},
                arguments.rounds,
                SUMMED,
            ),
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
