"""Writing a file so that a reader sees the old one or the new one, never half of it."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

BLOCK: Final = 1 << 20
"""Bytes that are read at once."""
DRAFT: Final = ".tmp"
"""How the name of a temporary file ends."""
Moved = Callable[[], None]


class Place(Protocol):
    """A file in storage, or a path: what both can do."""

    def read_text(self) -> str: ...

    def write_bytes(self, data: bytes) -> Any: ...


class Stored(Protocol):
    """A file in storage that can be read as bytes."""

    def open(self) -> IO[bytes]: ...


def unwatched() -> None:
    """Does nothing: no process waits for a sign of life."""


def write_atomic(path: Place, data: bytes) -> None:
    """After return the file is whole and durable; after a crash at any point it is the old one."""
    if not isinstance(path, Path):
        path.write_bytes(data)
        return
    with atomic_file(path) as handle:
        handle.write(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """What is written inside is at `path` afterwards, fsynced and renamed; after a fault or a crash the old file is."""
    with draft_beside(path) as (handle, draft):
        yield handle
        sync(handle)
        os.replace(draft, path)
    sync_folder(path.parent)


@contextmanager
def draft_beside(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A temporary file in the folder of `path`, gone afterwards unless it was renamed. Its name relies on no pid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}{DRAFT}")
    try:
        with open(draft, "wb") as handle:
            yield handle, draft
    finally:
        draft.unlink(missing_ok=True)


def is_draft(path: Path) -> bool:
    """Whether a writer that was killed left it."""
    return path.name.startswith(".") and path.name.endswith(DRAFT)


def copy_synced(given: IO[bytes], target: Path, block: int = BLOCK) -> None:
    """What is left of `given` is in the file `target`, on disk; it is seen half-written while this runs."""
    with open(target, "wb") as handle:
        shutil.copyfileobj(given, handle, block)
        sync(handle)


def sync(handle: IO[bytes]) -> None:
    """What was written is on disk."""
    handle.flush()
    os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """The names in it are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Place, value: Any) -> None:
    write_atomic(path, (json.dumps(value, indent=2, sort_keys=True, default=str) + "\n").encode())


def read_json(path: Place) -> Any:
    return json.loads(path.read_text())


def canonical_json(value: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces. What sha256 ids are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256_of(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: Path, moved: Moved = unwatched) -> str:
    """`moved` is called after every block: of a large file, reading it is progress."""
    with open(path, "rb") as handle:
        return sha256_stream(handle, moved)


def sha256_at(place: Stored) -> str:
    """Of what is at the place, on a disk or in a bucket."""
    with place.open() as handle:
        return sha256_stream(handle)


def sha256_stream(handle: IO[bytes], moved: Moved = unwatched) -> str:
    digest = hashlib.sha256()
    while block := handle.read(BLOCK):
        digest.update(block)
        moved()
    return digest.hexdigest()
