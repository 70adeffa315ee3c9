"""Safetensors files written in one pass, without a copy of the tensors, with their sha256 and a sign of life every block."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from nightrank.feature_store.contracts.files import Moved, atomic_file, unwatched
from nightrank.ranker.tables.row_files import StoredRows
from nightrank.ranker.tables.row_reader import DTYPES

BLOCK: Final = 32 << 20
"""Bytes between two signs of life."""
SYNC: Final = 256 << 20
"""Bytes after which the disk is waited for, so that it never has to catch up with all of a large file at the end."""
ALIGN: Final = 8


Writable = Tensor | StoredRows


def write_tensors(path: Path, tensors: Mapping[str, Writable], moved: Moved = unwatched) -> str:
    """The file is complete at `path`, byte for byte what `safetensors.torch.save_file` writes. Returns its sha256.

    Tensors on the CPU are written from where they are; of those on a device one at a time is copied, of those on disk a few
    rows. `moved` is called after every block.
    """
    names = sorted(tensors, key=lambda name: (list(DTYPES).index(tensors[name].dtype), name))
    digest = hashlib.sha256()
    unsynced = 0
    with atomic_file(path) as handle:
        for block in _blocks(names, tensors):
            handle.write(block)
            digest.update(block)
            unsynced += len(block)
            if unsynced >= SYNC:
                handle.flush()
                os.fsync(handle.fileno())
                unsynced = 0
            moved()
    return digest.hexdigest()


def _blocks(names: list[str], tensors: Mapping[str, Writable]) -> Iterator[memoryview]:
    header = json.dumps(_header(names, tensors), separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % ALIGN)
    yield memoryview(len(header).to_bytes(8, "little") + header)
    for name in names:
        value = tensors[name]
        for part in value.blocks() if isinstance(value, StoredRows) else [value]:
            values: Any = part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            content = memoryview(values)
            for start in range(0, len(content), BLOCK):
                yield content[start : start + BLOCK]


def _header(names: list[str], tensors: Mapping[str, Writable]) -> dict[str, Any]:
    header: dict[str, Any] = {}
    at = 0
    for name in names:
        value = tensors[name]
        end = at + value.numel() * value.element_size()
        header[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [at, end]}
        at = end
    return header
