"""LandingWriter: rows into `landing/<kind>/day=…/`, by arrival day: whole files only, the same for the same input."""

import os
import shutil
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.failpoints import failpoint
from nightrank.feature_store.contracts.files import sha256_file, write_json
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.contracts.process import OWNER, is_left_over, this_process
from nightrank.feature_store.contracts.storage import Location, workplace

BUDGET_BYTES: Final = 256 << 20
FSYNCS_AT_ONCE: Final = 32
ROWS_PER_GROUP: Final = 131_072
KINDS: Final[tuple[LandingKind, ...]] = ("events", "items", "users")
Slot = tuple[LandingKind, date | None]
"""Where a row goes: its kind and arrival day; None until `commit` knows the days there are."""


@dataclass
class LandingWriter:
    """Collects tables by (kind, day). Past the budget everything in memory goes to part files under `landing/.import-<id>/`;
    `commit` joins each day's parts into one file named by source and content hash, and renames all of them into place.
    Importing the same rows again finds the names there already and changes nothing; a crash leaves only the `.import-` folder.
    """

    lake: Lake
    source: str
    dry_run: bool = False
    budget_bytes: int = BUDGET_BYTES
    rows: Counter[Slot] = field(default_factory=Counter)
    numbers: dict[LandingKind, int] = field(default_factory=dict)
    """Kinds whose files have a number: of two files of one day, the higher is the newer state."""
    _held: dict[Slot, list[pa.Table]] = field(default_factory=dict)
    _parts: dict[Slot, list[Path]] = field(default_factory=dict)
    _bytes: int = 0
    _staging: Path = Path()

    def __enter__(self) -> "LandingWriter":
        landing = self.lake.landing("events").parent
        here = workplace(landing)
        self._staging = here / f".import-{uuid.uuid4().hex[:12]}"
        if not self.dry_run:
            sweep(here)
            self._staging.mkdir(parents=True)
            write_json(self._staging / OWNER, this_process().to_json())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)

    def add(self, kind: LandingKind, day: date | None, table: pa.Table) -> None:
        if table.num_rows == 0:
            return
        slot = (kind, day)
        self.rows[slot] += table.num_rows
        if self.dry_run:
            return
        self._held.setdefault(slot, []).append(table)
        self._bytes += table.nbytes
        if self._bytes > self.budget_bytes:
            self._spill()

    def days(self, kind: LandingKind) -> list[date]:
        return sorted(day for k, day in self.rows if k == kind and day is not None)

    def settle(self, kind: LandingKind, day: date) -> None:
        """Everything of `kind` that has no day yet arrives on `day`."""
        waiting, target = (kind, None), (kind, day)
        if waiting not in self.rows:
            return
        self.rows[target] += self.rows.pop(waiting)
        self._held.setdefault(target, []).extend(self._held.pop(waiting, []))
        self._parts.setdefault(target, []).extend(self._parts.pop(waiting, []))

    def drop(self, kind: LandingKind) -> int:
        """Rows of `kind` that have no day yet do not land. How many those are."""
        waiting = (kind, None)
        self._held.pop(waiting, None)
        for part in self._parts.pop(waiting, []):
            part.unlink()
        return self.rows.pop(waiting, 0)

    def commit(self) -> int:
        """The number of landing files that were not there before."""
        if self.dry_run:
            return 0
        moves = [self._join(slot) for slot in sorted(self.rows, key=str)]
        fresh = [(source, target) for source, target in moves if not target.is_file()]
        if not self.lake.root.is_local:
            for source, target in fresh:
                target.upload(source)
                failpoint("import.between_renames")
            return len(fresh)
        folders = sorted({target.path.parent for _, target in fresh})
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        _to_disk([source for source, _ in fresh])
        for source, target in fresh:
            os.replace(source, target)
            failpoint("import.between_renames")
        _to_disk(folders)
        return len(fresh)

    def _spill(self) -> None:
        for (kind, day), tables in self._held.items():
            parts = self._parts.setdefault((kind, day), [])
            path = self._staging / f"{kind}-{day}-{len(parts)}-{uuid.uuid4().hex[:8]}.part"
            pq.write_table(pa.concat_tables(tables), path)
            parts.append(path)
        self._held.clear()
        self._bytes = 0

    def _join(self, slot: Slot) -> tuple[Path, Location]:
        kind, day = slot
        assert day is not None, f"{kind} rows without a day were not settled"
        held = self._held.pop(slot, [])
        parts = self._parts.get(slot, [])
        path = self._staging / f"{kind}-{day}.parquet"
        schema = held[0].schema if held else pq.read_schema(parts[0])
        with pq.ParquetWriter(path, schema, compression="snappy") as writer:
            for part in parts:
                for batch in pq.ParquetFile(part).iter_batches(ROWS_PER_GROUP):
                    writer.write_batch(batch)
                part.unlink()
            if held:
                writer.write_table(pa.concat_tables(held), row_group_size=ROWS_PER_GROUP)
        number = f"{self.numbers[kind]:06d}-" if kind in self.numbers else ""
        return path, self.lake.landing_day(kind, day) / f"{self.source}-{number}{sha256_file(path)[:16]}.parquet"


def sweep(landing: Path) -> None:
    """Remove staging folders of imports on this machine that were killed."""
    for folder in landing.glob(".import-*"):
        if is_left_over(folder / OWNER):
            shutil.rmtree(folder, ignore_errors=True)


def _to_disk(paths: list[Path]) -> None:
    """fsync each file or folder; together, because a journal commits many at the price of one."""
    with ThreadPoolExecutor(FSYNCS_AT_ONCE) as pool:
        list(pool.map(_fsync, paths))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
