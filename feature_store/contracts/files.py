"""Writing a file so that a reader sees the old one or the new one, never half of it."""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

BLOCK: Final = 1 << 20
"""Bytes that are read at once."""
Moved = Callable[[], None]


def unwatched() -> None:
    """Does nothing: no process waits for a sign of life."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write, fsync, rename: after return the file is whole on disk; after a crash at any point it is the old one."""
    with atomic_file(path) as handle:
        handle.write(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """What is written inside is at `path` afterwards, fsynced and renamed; after a fault or a crash the old file is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, (json.dumps(value, indent=2, sort_keys=True, default=str) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def canonical_json(value: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces. What sha256 ids are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256_of(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: Path, moved: Moved = unwatched) -> str:
    """`moved` is called after every block: of a large file, reading it is progress."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
            moved()
    return digest.hexdigest()
