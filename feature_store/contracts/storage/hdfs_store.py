"""HDFS, through hdfs-native: writes are a draft that is renamed, `create` is a rename that replaces nothing.

`swap` has no primitive of its own there. A claim is a file named after the content that is to be replaced, and the name node
lets one writer rename its draft to it; a second rename puts the claim in the place of the key, and so removes it.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from nightrank.feature_store.contracts.files import copy_synced, is_draft
from nightrank.feature_store.contracts.storage.hdfs_calls import HdfsCalls, beside, key_of
from nightrank.feature_store.contracts.storage.object_file import opened
from nightrank.feature_store.contracts.storage.store import Entry, Stored, Version

if TYPE_CHECKING:
    from hdfs_native import FileStatus

CLAIM: Final = ".swap"
"""How the name of a claim ends."""
SWAP_SECONDS: Final = 20.0
"""Two renames take milliseconds. A claim that has stood for so long belongs to a writer that died between them."""
PAUSE_SECONDS: Final = 0.05


class HdfsStore:
    """Keys are paths without the first slash. A version is the sha256 of the content."""

    def __init__(self, calls: HdfsCalls) -> None:
        self._calls = calls

    def read(self, key: str) -> Stored:
        data = self._calls.read(key)
        return Stored(data, Version.of(data))

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self._calls.read(key, start, length)

    def write(self, key: str, data: bytes) -> None:
        self._calls.move(self._calls.draft(key, data), key, overwrite=True)

    def create(self, key: str, data: bytes) -> bool:
        return self._moved(data, key) or self._ours(key, data) is not None

    def swap(self, key: str, data: bytes, expected: Version) -> Version | None:
        if self._now(key) != expected:
            return None
        claim = beside(key, f"{expected.tag[:32]}{CLAIM}")
        if not self._moved(data, claim):
            self._settle(claim, key, expected)
        elif self._now(key) != expected:  # another writer was done between the first look and the claim
            self._calls.remove(claim)
        else:
            self._put(claim, key)
        return self._ours(key, data)

    def find(self, key: str) -> Entry | None:
        found = self._calls.find(key)
        return None if found is None or found.isdir else _entry(found)

    def children(self, key: str) -> tuple[list[Entry], list[str]]:
        found = sorted((each for each in self._calls.listed(key) if not _hidden(each)), key=key_of)
        return [_entry(each) for each in found if not each.isdir], [key_of(each) for each in found if each.isdir]

    def walk(self, key: str) -> Iterator[Entry]:
        files, folders = self.children(key)
        yield from files
        for folder in folders:
            yield from self.walk(folder)

    def delete(self, key: str) -> None:
        self._calls.remove(key)

    def delete_tree(self, key: str) -> None:
        self._calls.remove(key, recursive=True)

    def upload(self, key: str, source: Path) -> None:
        with open(source, "rb") as given:
            self._calls.move(self._calls.draft(key, given), key, overwrite=True)

    def download(self, key: str, target: Path) -> None:
        with self.open(key) as given:
            copy_synced(given, target)

    def open(self, key: str) -> IO[bytes]:
        return opened(self, key, self._calls.address)

    def _moved(self, data: bytes, key: str) -> bool:
        """Whether `data` went to the key. False, and nothing is changed, if a file was there."""
        draft = self._calls.draft(key, data)
        try:
            self._calls.move(draft, key)
        except FileExistsError:
            self._calls.remove(draft)
            return False
        return True

    def _put(self, claim: str, key: str) -> None:
        """The claim's content is at the key. Whoever waited for it may have put it there."""
        try:
            self._calls.move(claim, key, overwrite=True)
        except FileNotFoundError:
            return

    def _settle(self, claim: str, key: str, expected: Version) -> None:
        """The claim that another writer holds is gone, or its swap is completed here because that writer is."""
        until = time.monotonic() + SWAP_SECONDS
        while self._now(key) == expected and self.find(claim) is not None:
            if time.monotonic() >= until:
                self._put(claim, key)
                return
            time.sleep(PAUSE_SECONDS)

    def _now(self, key: str) -> Version | None:
        try:
            return self.read(key).version
        except FileNotFoundError:
            return None

    def _ours(self, key: str, data: bytes) -> Version | None:
        version = Version.of(data)
        return version if self._now(key) == version else None


def _hidden(status: "FileStatus") -> bool:
    """Drafts and claims."""
    path = Path(key_of(status))
    return is_draft(path) or (path.name.startswith(".") and path.name.endswith(CLAIM))


def _entry(status: "FileStatus") -> Entry:
    return Entry(key_of(status), status.length, status.modification_time / 1000, f"{status.modification_time}-{status.length}")
