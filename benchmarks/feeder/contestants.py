"""Who feeds: our readers, Petastorm as it comes, and a bare pyarrow scan."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from benchmarks.feeder.files import COLUMNS, Files
from benchmarks.feeder.race import Run, Tally, Total
from nightrank.trainer.config.training import ReaderName
from nightrank.trainer.data.conformance import files_of, row_groups_of
from nightrank.trainer.data.dense import DenseReader
from nightrank.trainer.data.epoch import EpochReader, make_plan
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.data.readers import row_group_reader
from nightrank.trainer.data.rows import Rows
from nightrank.trainer.data.sources import Tables
from nightrank.trainer.data.stream import Planned
from nightrank.trainer.data.training_rows import TrainingRows

BATCH: Final = 4096
QUEUE: Final = 100_000
WORKERS: Final = 2
SEED: Final = 1
SUMMED: Final = ("user", "items", "actions", "times", "weight")
FIELDS: Final = {"user": "users_B", "items": "items_T", "actions": "actions_T", "times": "times_T", "weight": "weight_B"}


def ours_numeric(reader: ReaderName) -> Run:
    """[rows, 40] batches under a ReadPlan."""

    def run(files: Files, epoch: int, summed: Sequence[str]) -> Total:
        plan = ReadPlan(row_groups_of(files.part), SEED, epoch, world_size=1, batch_rows=BATCH)
        planned = Planned(files_of(files.part, files.root), plan, 0, Tables(COLUMNS), reader, WORKERS, "numeric")
        tally = Tally(summed)
        for batch in DenseReader(planned):
            tally.add(len(batch), lambda name, batch=batch: batch[:, COLUMNS.index(name)].numpy())
        return tally.total()

    return run


def ours_sequences(reader: ReaderName) -> Run:
    """Batches of histories as the trainer is given them: bucketed by length, packed, in the files' widths."""

    def run(files: Files, epoch: int, summed: Sequence[str]) -> Total:
        snapshot = files.snapshot()
        plan = make_plan(snapshot, "train", seed=SEED, epoch=epoch, world_size=1, batch_rows=BATCH)
        tally = Tally(summed)
        for batch in EpochReader(snapshot, files.root, "train", plan, 0, reader=reader, workers=WORKERS):
            tally.add(batch.rows, lambda name, batch=batch: getattr(batch, FIELDS[name]).numpy())
        return tally.total()

    return run


def ours_rows(reader: ReaderName) -> Run:
    """The same row groups as they are decoded, neither shuffled nor cut into batches: how far the reader could get at most."""

    def run(files: Files, epoch: int, summed: Sequence[str]) -> Total:
        groups = ReadPlan(row_groups_of(files.part), SEED, epoch, world_size=1, batch_rows=BATCH).order.tolist()
        tally = Tally(summed)
        for rows in row_group_reader(reader)(files_of(files.part, files.root), groups, TrainingRows(), WORKERS):
            tally.add(len(rows), lambda name, rows=rows: _column(rows, name))
        return tally.total()

    return run


def petastorm(columns: Sequence[str]) -> Run:
    """make_batch_reader with its thread pool, into the shuffling BatchedDataLoader."""

    def run(files: Files, epoch: int, summed: Sequence[str]) -> Total:
        from petastorm import make_batch_reader
        from petastorm.pytorch import BatchedDataLoader

        tally = Tally(summed)
        options: dict[str, Any] = {"workers_count": WORKERS, "num_epochs": 1, "shuffle_row_groups": True, "seed": epoch + 1}
        urls, fields = [f"file://{path}" for path in files.paths], [f"^{name}$" for name in columns]
        reader = make_batch_reader(urls, schema_fields=fields, **options)
        with BatchedDataLoader(reader, batch_size=BATCH, shuffling_queue_capacity=QUEUE) as loader:
            for batch in loader:
                tally.add(len(batch[columns[0]]), lambda name, batch=batch: batch[name].numpy())
        return tally.total()

    return run


def scan(columns: Sequence[str]) -> Run:
    """Reads every column, on as many threads as Arrow likes, and makes nothing of them: the limit."""

    def run(files: Files, epoch: int, summed: Sequence[str]) -> Total:
        tally = Tally(summed)
        for batch in ds.dataset([str(path) for path in files.paths]).to_batches(columns=list(columns)):
            tally.add(batch.num_rows, lambda name, batch=batch: _flat(batch.column(name)))
        return tally.total()

    return run


def _column(rows: Rows, name: str) -> np.ndarray:
    return rows.heads[name][:-1] if name in ("user", "weight") else getattr(rows.tokens, name)


def _flat(column: pa.Array) -> np.ndarray:
    return (column.flatten() if pa.types.is_list(column.type) else column).to_numpy()
