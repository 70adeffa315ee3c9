"""Tables by row on disk: one safetensors file for each rank that wrote, read a piece at a time, for any other number of ranks.

Shapes: L rows of a file, d whatever a row holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from torch import Tensor

from nightrank.ranker.tables.rows import Rows

PIECE: Final = 1 << 16
"""Rows that are read at once."""


@dataclass(frozen=True)
class RowFiles:
    """Files by rank: of N files the one at r holds rows r, r + N, r + 2N ... of every tensor in it. One file holds all rows."""

    paths: Sequence[Path]

    def names(self) -> list[str]:
        with safe_open(self.paths[0], framework="pt") as file:
            return sorted(file.keys())

    def total(self, name: str) -> int:
        """Rows of the whole tensor."""
        return sum(self._shape(path, name)[0] for path in self.paths)

    def rows(self, name: str, wanted: Rows) -> Tensor:
        """The rows of `wanted` that are stored, at their places there; a longer table's new rows are missing at the end."""
        stored = Rows(self.total(name), wanted.rank, wanted.ranks)
        result = torch.empty(stored.count, *self._shape(self.paths[0], name)[1:], dtype=self.dtype(name))
        for number, path in enumerate(self.paths):
            for ids, values in self._pieces(path, name, Rows(stored.total, number, len(self.paths))):
                mine = stored.mine(ids)
                result[stored.place(ids[mine])] = values[mine]
        return result

    def between(self, name: str, first: int, last: int) -> Tensor:
        """Rows [first, last) of the whole tensor."""
        result = torch.empty(last - first, *self._shape(self.paths[0], name)[1:], dtype=self.dtype(name))
        size = len(self.paths)
        for number, path in enumerate(self.paths):
            start, stop = Rows(last, number, size).between(first, last)
            with safe_open(path, framework="pt") as file:
                result[number + start * size - first :: size] = file.get_slice(name)[start:stop]
        return result

    def dtype(self, name: str) -> torch.dtype:
        with safe_open(self.paths[0], framework="pt") as file:
            found: torch.dtype = file.get_slice(name)[:0].dtype
            return found

    def _pieces(self, path: Path, name: str, held: Rows) -> Iterator[tuple[Tensor, Tensor]]:
        """(row numbers, rows) of a file, a few at a time."""
        with safe_open(path, framework="pt") as file:
            values = file.get_slice(name)
            for start in range(0, held.count, PIECE):
                stop = min(start + PIECE, held.count)
                yield held.rank + held.ranks * torch.arange(start, stop), values[start:stop]

    def _shape(self, path: Path, name: str) -> list[int]:
        with safe_open(path, framework="pt") as file:
            return list(file.get_slice(name).get_shape())


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
        return (self.files.total(self.name), *self.files.between(self.name, 0, 0).shape[1:])

    def numel(self) -> int:
        return torch.Size(self.shape).numel()

    def element_size(self) -> int:
        return self.dtype.itemsize

    def blocks(self) -> Iterator[Tensor]:
        """Its rows in order, a few at a time."""
        total = self.files.total(self.name)
        for first in range(0, total, PIECE):
            yield self.files.between(self.name, first, min(first + PIECE, total))
