"""What every kind of storage can do. Keys are what follows the store's own start: a bucket's name, or `/` of a disk."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol


@dataclass(frozen=True)
class Version:
    """Which content a key holds, as its store tells one from another. Only good for comparing."""

    tag: str
    generation: str | None = None
    """What Google's storage compares instead of the tag."""

    @classmethod
    def of(cls, data: bytes) -> "Version":
        """Of a store that keeps none of its own: the sha256 of the content."""
        return cls(hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Stored:
    """A key's content and which version of it that is."""

    data: bytes
    version: Version


@dataclass(frozen=True)
class Entry:
    """One file or object of a listing."""

    key: str
    size: int
    """bytes"""
    modified: float
    """Seconds since 1970 by the clock of the store, not of this machine."""
    tag: str
    """A different value for different content. For caches and fingerprints; `swap` needs the version that `read` returned."""


class Store(Protocol):
    """A disk or a bucket. A write is seen whole or not at all, also after a crash at any point.

    FileNotFoundError for a key that is absent. DependencyUnreachable (8) where the store does not answer; ConfigError (2)
    where the bucket is absent or this process may not use it.
    """

    def read(self, key: str) -> Stored: ...

    def read_range(self, key: str, start: int, length: int) -> bytes: ...

    def write(self, key: str, data: bytes) -> None: ...

    def create(self, key: str, data: bytes) -> bool:
        """True if `data` is there and nobody else wrote the key before: of several writers one gets True.

        The answer may have been lost on its way, so the content decides: what must have one winner names its writer.
        """
        ...

    def swap(self, key: str, data: bytes, expected: Version) -> Version | None:
        """The new version; None, and nothing is written, if the content is not `expected`. As in `create`, name the writer."""
        ...

    def find(self, key: str) -> Entry | None:
        """The file or object of exactly that key; None for a folder and for nothing."""
        ...

    def children(self, key: str) -> tuple[list[Entry], list[str]]:
        """What stands right below: files, and keys of folders. Empty where there is nothing."""
        ...

    def walk(self, key: str) -> Iterator[Entry]:
        """Every file below, at any depth, in order of their keys."""
        ...

    def delete(self, key: str) -> None:
        """The key is absent afterwards, also if it was before."""
        ...

    def delete_tree(self, key: str) -> None:
        """Nothing is below the key afterwards."""
        ...

    def upload(self, key: str, source: Path) -> None:
        """The file's bytes are at the key, whole, without holding them in memory."""
        ...

    def download(self, key: str, target: Path) -> None:
        """The key's bytes are in the local file `target`, fsynced; it is seen half-written while this runs."""
        ...

    def open(self, key: str) -> IO[bytes]:
        """Readable from any place; Arrow can read Parquet from it. Nothing is read until asked for."""
        ...
