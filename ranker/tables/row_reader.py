"""Rows of tensors in a safetensors file by plain reads: a mapped file would count as memory of the process (`ulimit -v`)."""

import json
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError

DTYPES: Final[dict[torch.dtype, str]] = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""In the order in which the library lays tensors out: wide ones first, so that all are aligned."""
KINDS: Final = {name: kind for kind, name in DTYPES.items()}
LENGTH: Final = 8
"""Bytes in front of the header, that say how long it is."""


class RowReader:
    """One file. DataContractError where it ends before its header says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            size = int.from_bytes(file.read(LENGTH), "little")
            self._header: dict[str, Any] = json.loads(file.read(size))
        self._start = LENGTH + size

    @property
    def names(self) -> list[str]:
        return sorted(name for name in self._header if name != "__metadata__")

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._header[name]["shape"])

    def dtype(self, name: str) -> torch.dtype:
        return KINDS[self._header[name]["dtype"]]

    def row_bytes(self, name: str) -> int:
        return int(torch.Size(self.shape(name)[1:]).numel()) * self.dtype(name).itemsize

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows [start, stop)."""
        shape, kind, width = (stop - start, *self.shape(name)[1:]), self.dtype(name), self.row_bytes(name)
        content = bytearray((stop - start) * width)
        if not content:
            return torch.empty(shape, dtype=kind)
        with self._path.open("rb") as file:
            file.seek(self._start + self._header[name]["data_offsets"][0] + start * width)
            if file.readinto(content) != len(content):
                raise DataContractError(f"{self._path.name} ends within tensor {name}", "remove it")
        return torch.frombuffer(content, dtype=kind).view(shape)
