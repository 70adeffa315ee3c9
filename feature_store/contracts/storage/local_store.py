"""A disk, or a shared folder mounted as one: writes by rename, `create` by a hard link, `swap` under a lock of the folder."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.files import (
    BLOCK,
    atomic_file,
    copy_synced,
    draft_beside,
    is_draft,
    sync,
    sync_folder,
    write_atomic,
)
from nightrank.feature_store.contracts.lake_lock import locked
from nightrank.feature_store.contracts.storage.store import Entry, Stored, Version

SWAP_SECONDS: Final = 20.0
"""Whoever swaps holds the folder's lock for one small write."""
SWAP_LOCK: Final = ".swap.lock"


class LocalStore:
    """Keys are absolute paths. A version is the sha256 of the content."""

    def read(self, key: str) -> Stored:
        data = Path(key).read_bytes()
        return Stored(data, Version.of(data))

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with open(key, "rb") as handle:
            handle.seek(start)
            return handle.read(length)

    def write(self, key: str, data: bytes) -> None:
        write_atomic(Path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        with draft_beside(Path(key)) as (handle, draft):
            handle.write(data)
            sync(handle)
            try:
                os.link(draft, key)
            except FileExistsError:
                return Path(key).read_bytes() == data
        sync_folder(Path(key).parent)
        return True

    def swap(self, key: str, data: bytes, expected: Version) -> Version | None:
        try:
            with locked(Path(key).parent / SWAP_LOCK, exclusive=True, seconds=SWAP_SECONDS):
                if not Path(key).exists() or self.read(key).version != expected:
                    return None
                self.write(key, data)
        except TimeoutError:
            raise ConflictError(
                f"another process has been changing {Path(key).name} for {SWAP_SECONDS:.0f} s", "end it, then start this again"
            ) from None
        return Version.of(data)

    def find(self, key: str) -> Entry | None:
        path = Path(key)
        return _entry(path) if path.is_file() else None

    def children(self, key: str) -> tuple[list[Entry], list[str]]:
        try:
            found = sorted(path for path in Path(key).iterdir() if not _hidden(path))
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        return [_entry(path) for path in found if path.is_file()], [str(path) for path in found if path.is_dir()]

    def walk(self, key: str) -> Iterator[Entry]:
        for folder, folders, names in os.walk(key):
            folders.sort()
            for path in (Path(folder, name) for name in sorted(names) if not _hidden(Path(name))):
                with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                    yield _entry(path)

    def delete(self, key: str) -> None:
        Path(key).unlink(missing_ok=True)

    def delete_tree(self, key: str) -> None:
        shutil.rmtree(key, ignore_errors=not Path(key).exists())

    def upload(self, key: str, source: Path) -> None:
        with atomic_file(Path(key)) as handle, open(source, "rb") as given:
            shutil.copyfileobj(given, handle, BLOCK)

    def download(self, key: str, target: Path) -> None:
        with self.open(key) as given:
            copy_synced(given, target)

    def open(self, key: str) -> IO[bytes]:
        return open(key, "rb")


def _hidden(path: Path) -> bool:
    """What this store itself leaves beside: drafts of a writer that was killed, and locks."""
    return path.name == SWAP_LOCK or is_draft(path)


def _entry(path: Path) -> Entry:
    status = path.stat()
    return Entry(str(path), status.st_size, status.st_mtime, str(status.st_mtime_ns))
