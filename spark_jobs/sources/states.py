"""A catalogue without dates is the state of a day: whether it changed since the last import, and the day it lands on."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.contracts.storage import Location
from nightrank.spark_jobs.sources.absent_items import absent, describes
from nightrank.spark_jobs.sources.chunks import Chunk
from nightrank.spark_jobs.sources.landing import LandingWriter

NUMBERED: Final = re.compile(r"-([0-9]{6})-[0-9a-f]+\.parquet$")
KINDS: Final[tuple[LandingKind, ...]] = ("items", "users")


@dataclass
class States:
    """What an import brings of items and users that have no `availability_time` of their own.

    The first one is placed like any row: by `created`, else with the first event day. After that, or with a `day`, a state that
    differs from the last one lands whole on that day (default: the newest event day) in a file with the next number, so that
    of two states of one day the later is the newer. The same state again lands nothing.
    """

    lake: Lake
    kinds: frozenset[LandingKind]
    day: date | None
    known: dict[str, str]
    """landing/meta.json before the import."""
    _hashes: dict[LandingKind, "hashlib._Hash"] = field(default_factory=dict)
    unchanged: dict[LandingKind, int] = field(default_factory=dict)
    """Rows of each kind that were as they had been."""
    absent: int = 0
    """Items of the last catalogue that a new one lacks, unless it says that it is complete."""
    _ids: list[pa.Array] = field(default_factory=list)
    _there: frozenset[LandingKind] = frozenset()
    """Kinds the lake had before the import."""

    def __post_init__(self) -> None:
        self._there = frozenset(kind for kind in KINDS if self.lake.landing_days(kind))

    def takes(self, writer: LandingWriter, chunk: Chunk) -> bool:
        """True where the chunk's rows wait for the day of their state, and are placed no other way."""
        if chunk.kind not in self.kinds:
            return False
        self._hashes.setdefault(chunk.kind, hashlib.sha256()).update(_bytes(chunk.table))
        if not self._later(chunk.kind):
            return False
        writer.add(chunk.kind, None, chunk.table)
        if chunk.kind == "items" and describes(chunk.table):
            self._ids += chunk.table[c.ITEM_ID].chunks
        return True

    def settle(self, writer: LandingWriter) -> None:
        """Each waiting state gets its day and number, or is dropped where nothing changed."""
        for kind in self._hashes:
            if not self._later(kind):
                continue
            if self.known.get(f"{kind}_sha256") == self._hashes[kind].hexdigest() and self.day is None:
                self.unchanged[kind] = writer.drop(kind)
            else:
                writer.settle(kind, self._day(writer))
                writer.numbers[kind] = self._number(kind)
                if kind == "items" and self._ids and kind in self._there:
                    self.absent = absent(self.lake, self._numbered(kind), self._ids)

    def to_meta(self) -> dict[str, str]:
        """What landing/meta.json remembers of the newest states."""
        kept = {f"{kind}_sha256" for kind in KINDS}
        meta = {name: value for name, value in self.known.items() if name in kept}
        return meta | {f"{kind}_sha256": digest.hexdigest() for kind, digest in self._hashes.items()}

    def _later(self, kind: LandingKind) -> bool:
        return self.day is not None or kind in self._there

    def _number(self, kind: LandingKind) -> int:
        newest = self._numbered(kind)[:1]
        return 1 + sum(_number_of(path) for path in newest)

    def _numbered(self, kind: LandingKind) -> list[Location]:
        """Files with a number, the highest first."""
        found = [path for path in self.lake.landing(kind).glob("day=*/*.parquet") if _number_of(path)]
        return sorted(found, key=_number_of, reverse=True)

    def _day(self, writer: LandingWriter) -> date:
        if self.day is not None:
            return self.day
        days = [*self.lake.landing_days("events"), *writer.days("events")]
        if not days:
            raise UsageError(
                f"lake {self.lake.root} holds no events, so the day of this catalogue is not known",
                "import events first, or give the day with --date",
            )
        return max(days)


def _number_of(path: Location) -> int:
    """0 for a file without one."""
    found = NUMBERED.search(path.name)
    return int(found[1]) if found else 0


def _bytes(table: pa.Table) -> bytes:
    """The rows in a form that is the same for the same rows in the same order."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="none", use_dictionary=False)
    return bytes(sink.getvalue())
