"""Tables by row on disk: one safetensors file for each rank that wrote, read a piece at a time, for any other number of ranks.

Shapes: L rows of a file, d whatever a row holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from nightrank.ranker.tables.row_reader import RowReader
from nightrank.ranker.tables.rows import Rows

PIECE_BYTES: Final = 16 << 20
"""Of rows that are read at once."""


@dataclass(frozen=True)
class RowFiles:
    """Files by rank: of N files the one at r holds rows r, r + N, r + 2N ... of every tensor in it. One file holds all rows."""

    paths: Sequence[Path]

    def names(self) -> list[str]:
        return self._of(0).names

    def total(self, name: str) -> int:
        """Rows of the whole tensor."""
        return sum(RowReader(path).shape(name)[0] for path in self.paths)

    def dtype(self, name: str) -> torch.dtype:
        return self._of(0).dtype(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the whole tensor."""
        return (self.total(name), *self._of(0).shape(name)[1:])

    def rows(self, name: str, wanted: Rows) -> Tensor:
        """The rows of `wanted` that are stored, at their places there; a longer table's new rows are missing at the end."""
        total, *rest = self.shape(name)
        stored = Rows(total, wanted.rank, wanted.ranks)
        return self.read_into(name, wanted, torch.empty(stored.count, *rest, dtype=self.dtype(name)))

    def read_into(self, name: str, wanted: Rows, into: Tensor) -> Tensor:
        """The same in the first places of `into`, of which the other rows stay as they are."""
        for number, path in enumerate(self.paths):
            for ids, values in self._pieces(path, name, number):
                mine = wanted.mine(ids)
                into[wanted.place(ids[mine])] = values[mine].to(into.device)
        return into

    def between(self, name: str, first: int, last: int) -> Tensor:
        """Rows [first, last) of the whole tensor."""
        size = len(self.paths)
        result = torch.empty(last - first, *self._of(0).shape(name)[1:], dtype=self.dtype(name))
        for number, path in enumerate(self.paths):
            start, stop = Rows(last, number, size).between(first, last)
            result[number + start * size - first :: size] = RowReader(path).rows(name, start, stop)
        return result

    def at_once(self, name: str) -> int:
        """Rows that are read at once."""
        return max(1, PIECE_BYTES // max(1, self._of(0).row_bytes(name)))

    def _pieces(self, path: Path, name: str, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(row numbers, rows) of a file, a few at a time."""
        reader, few = RowReader(path), self.at_once(name)
        held = reader.shape(name)[0]
        for start in range(0, held, few):
            stop = min(start + few, held)
            yield number + len(self.paths) * torch.arange(start, stop), reader.rows(name, start, stop)

    def _of(self, number: int) -> RowReader:
        return RowReader(self.paths[number])


@dataclass(frozen=True)
class StoredRows:
    """A whole tensor that is on disk by row: it is written elsewhere without ever being held."""

    files: RowFiles
    name: str

    @property
    def dtype(self) -> torch.dtype:
        return self.files.dtype(self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.files.shape(self.name)

    def numel(self) -> int:
        return torch.Size(self.shape).numel()

    def element_size(self) -> int:
        return self.dtype.itemsize

    def blocks(self) -> Iterator[Tensor]:
        """Its rows in order, a few at a time."""
        total = self.files.total(self.name)
        few = self.files.at_once(self.name)
        for first in range(0, total, few):
            yield self.files.between(self.name, first, min(first + few, total))
