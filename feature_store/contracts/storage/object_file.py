"""An object as a file that Python and Arrow can read from any place, a range at a time."""

import io
from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from nightrank.feature_store.contracts.storage.store import Entry, Store

READ_AHEAD: Final = 1 << 20
"""Bytes that one request fetches at least."""


def opened(store: "Store", key: str, address: str) -> IO[bytes]:
    """The file of that key, of a store whose keys are below `address`. FileNotFoundError for a folder and for nothing."""
    entry = store.find(key)
    if entry is None:
        raise FileNotFoundError(f"{address}/{key}")
    return ObjectFile(store, entry).buffered()


class ObjectFile(io.RawIOBase):
    """Every read is one request for a range."""

    def __init__(self, store: "Store", entry: "Entry") -> None:
        super().__init__()
        self._store, self._entry, self._at = store, entry, 0

    def buffered(self) -> IO[bytes]:
        return cast(IO[bytes], io.BufferedReader(self, READ_AHEAD))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}[whence]
        if start + offset < 0:
            raise ValueError(f"byte {start + offset} is before the start of {self._entry.key}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        length = min(len(buffer), self._entry.size - self._at)
        if length <= 0:
            return 0
        data = self._store.read_range(self._entry.key, self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
