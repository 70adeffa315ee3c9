"""Where something stands: a path on a disk, or an address in a bucket. The same words for both, close to pathlib's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from nightrank.feature_store.contracts.storage.matching import matching
from nightrank.feature_store.contracts.storage.store import Entry, Store, Stored, Version


@dataclass(frozen=True, order=True)
class Location:
    """A value: making one touches nothing. `scheme` is `file` for a disk."""

    scheme: str
    bucket: str
    """Empty for a disk; for `abfss` it is `container@account.host`, for `hdfs` `host:port` or a cluster's name."""
    key: str
    """Absolute for a disk; in a bucket without a slash at either end."""

    def __str__(self) -> str:
        return self.key if self.is_local else "/".join(filter(None, (f"{self.scheme}://{self.bucket}", self.key)))

    def __fspath__(self) -> str:
        """So `open(location)` works on a disk. In a bucket it is an error: there only a `local_copy` has a path."""
        return str(self.path)

    def __truediv__(self, below: str) -> "Location":
        if not below or below.startswith("/") or ".." in below.split("/"):
            raise ValueError(f"{below!r} is not a name below {self}")
        return Location(self.scheme, self.bucket, f"{self.key.rstrip('/')}/{below}" if self.key else below)

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def uri(self) -> str:
        """As other programs know it: `file:///…` with links of the disk resolved, or the address in the bucket."""
        return self.path.resolve().as_uri() if self.is_local else str(self)

    @property
    def hadoop(self) -> str:
        """As Spark's file systems know it."""
        return f"s3a://{str(self).removeprefix('s3://')}" if self.scheme == "s3" else str(self)

    @property
    def path(self) -> Path:
        """The path on this machine's disk. TypeError in a bucket, which is a fault of the caller."""
        if not self.is_local:
            raise TypeError(f"{self} stands in a bucket and has no path on this machine")
        return Path(self.key)

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "Location":
        above = str(PurePosixPath(self.key).parent)
        return Location(self.scheme, self.bucket, "" if above == "." else above)

    def with_name(self, name: str) -> "Location":
        return self.parent / name

    def below(self, above: "Location") -> str:
        """This place as a name below `above`. ValueError if it is elsewhere."""
        if (self.scheme, self.bucket) != (above.scheme, above.bucket):
            raise ValueError(f"{self} is not below {above}")
        return str(PurePosixPath(self.key).relative_to(above.key))

    @property
    def store(self) -> Store:
        from nightrank.feature_store.contracts.storage.stores import store_of  # opens a client; a value needs none

        return store_of(self.scheme, self.bucket)

    def find(self) -> Entry | None:
        """The file that is here; None for a folder and for nothing."""
        return self.store.find(self.key)

    def entry(self) -> Entry:
        """The file that is here. FileNotFoundError for a folder and for nothing."""
        found = self.find()
        if found is None:
            raise FileNotFoundError(str(self))
        return found

    @property
    def size(self) -> int:
        """Bytes of the file that is here. FileNotFoundError where none is."""
        return self.entry().size

    def is_file(self) -> bool:
        return self.find() is not None

    def is_dir(self) -> bool:
        """A folder is here. In a bucket that is a place with something below."""
        return self.path.is_dir() if self.is_local else next(self.store.walk(self.key), None) is not None

    def exists(self) -> bool:
        """A file or a folder is here."""
        return self.path.exists() if self.is_local else self.is_file() or self.is_dir()

    def mkdir(self) -> None:
        """On a disk the folder is there, also those above it. A bucket needs none."""
        if self.is_local:
            self.path.mkdir(parents=True, exist_ok=True)

    def read(self) -> Stored:
        return self.store.read(self.key)

    def read_bytes(self) -> bytes:
        return self.read().data

    def read_text(self) -> str:
        return self.read_bytes().decode()

    def read_json(self) -> Any:
        return json.loads(self.read_bytes())

    def open(self) -> IO[bytes]:
        return self.store.open(self.key)

    def write_bytes(self, data: bytes) -> None:
        """Seen whole or not at all."""
        self.store.write(self.key, data)

    def write_text(self, text: str) -> None:
        self.write_bytes(text.encode())

    def upload(self, source: Path) -> None:
        """The content of a file of this machine is here, seen whole or not at all."""
        self.store.upload(self.key, source)

    def upload_folder(self, source: Path, last: str | None = None) -> None:
        """The files below `source` are here, `last` after all others: it says that they are whole."""
        files = sorted(path for path in source.rglob("*") if path.is_file())
        for path in sorted(files, key=lambda path: path.name == last):
            (self / path.relative_to(source).as_posix()).upload(path)

    def create(self, data: bytes) -> bool:
        """True if this writer made it; False if it was there. See `Store.create`."""
        return self.store.create(self.key, data)

    def swap(self, data: bytes, expected: Version) -> Version | None:
        """The new version, or None if another content than `expected` is here."""
        return self.store.swap(self.key, data, expected)

    def listing(self) -> list[tuple["Location", Entry | None]]:
        """Files right below with what the listing says of each, and folders with None, by name. One look at the store."""
        files, folders = self.store.children(self.key)
        found: list[tuple[Location, Entry | None]] = [(self._at(entry.key), entry) for entry in files]
        return sorted([*found, *((self._at(key), None) for key in folders)], key=lambda pair: pair[0])

    def children(self) -> list["Location"]:
        """Files and folders right below, by name."""
        return [place for place, _ in self.listing()]

    def glob(self, pattern: str) -> list["Location"]:
        """Files and folders below whose names match, part by part (`runs/*/gate.json`), by name. `**/` is any depth."""
        return sorted(self._at(key) for key in matching(self.store, self.key, pattern))

    def walk(self) -> Iterator[tuple["Location", Entry]]:
        """Every file below, in order of their keys."""
        return ((self._at(entry.key), entry) for entry in self.store.walk(self.key))

    def unlink(self) -> None:
        self.store.delete(self.key)

    def remove_tree(self) -> None:
        self.store.delete_tree(self.key)

    def _at(self, key: str) -> "Location":
        return Location(self.scheme, self.bucket, key)
