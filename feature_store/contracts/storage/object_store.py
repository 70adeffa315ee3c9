"""A bucket, through obstore: writes are whole by nature, `create` and `swap` are conditional writes of the store itself."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.files import copy_synced
from nightrank.feature_store.contracts.storage.object_errors import UnknownOutcome, explained
from nightrank.feature_store.contracts.storage.object_file import opened
from nightrank.feature_store.contracts.storage.store import Entry, Stored, Version

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, PutResult
    from obstore.store import ObjectStore as Client

PART_BYTES: Final = 16 << 20
"""A large file goes up and comes down in parts of this size."""
PAUSE_SECONDS: Final = 0.2
"""Between two sendings of a conditional write whose outcome is unknown and which did not happen."""
Result = TypeVar("Result")


class BucketStore:
    """Keys are object names. A version is the store's own: an e-tag, or a generation."""

    def __init__(self, patient: "Client", hasty: "Client", address: str, seconds: float) -> None:
        """`patient` retries a request for so many seconds. Once that was in vain, `hasty` asks, until the bucket answers."""
        self._patient, self._hasty, self.address, self._seconds = patient, hasty, address, seconds
        self._silent = False

    @property
    def client(self) -> "Client":
        return self._hasty if self._silent else self._patient

    def read(self, key: str) -> Stored:
        def get() -> Stored:
            found = obstore.get(self.client, key)
            return Stored(bytes(found.bytes()), _version(found.meta))

        return self._ask(key, get)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self._ask(key, lambda: bytes(obstore.get_range(self.client, key, start=start, length=length)))

    def write(self, key: str, data: bytes) -> None:
        self._ask(key, lambda: obstore.put(self.client, key, data, mode="overwrite"))

    def create(self, key: str, data: bytes) -> bool:
        return self._decided(key, data, "create") is not None

    def swap(self, key: str, data: bytes, expected: Version) -> Version | None:
        with_generation: PutMode = {"e_tag": expected.tag, "version": expected.generation}
        return self._decided(key, data, {"e_tag": expected.tag} if expected.generation is None else with_generation)

    def find(self, key: str) -> Entry | None:
        try:
            return _entry(self._ask(key, lambda: obstore.head(self.client, key))) if key else None
        except FileNotFoundError:
            return None
        except ConfigError:
            with suppress(FileNotFoundError):
                self.read_range(key, 0, 1)  # the answer to HEAD has no body; that to GET names the reason
            raise

    def children(self, key: str) -> tuple[list[Entry], list[str]]:
        found = self._ask(key, lambda: obstore.list_with_delimiter(self.client, prefix=key or None))
        files = [_entry(meta) for meta in found["objects"] if meta["path"] != key]
        return sorted(files, key=lambda entry: entry.key), sorted(found["common_prefixes"])

    def walk(self, key: str) -> Iterator[Entry]:
        pages = iter(self._ask(key, lambda: obstore.list(self.client, prefix=key or None)))
        while (page := self._ask(key, lambda: next(pages, None))) is not None:
            yield from (_entry(meta) for meta in page if meta["path"] != key and not self._marks_folder(meta))

    def delete(self, key: str) -> None:
        try:
            self._ask(key, lambda: obstore.delete(self.client, key))
        except FileNotFoundError:
            return

    def delete_tree(self, key: str) -> None:
        keys = [entry.key for entry in self.walk(key)]
        if keys:
            self._ask(key, lambda: obstore.delete(self.client, keys))

    def upload(self, key: str, source: Path) -> None:
        self._ask(key, lambda: obstore.put(self.client, key, source, mode="overwrite", chunk_size=PART_BYTES))

    def download(self, key: str, target: Path) -> None:
        with self.open(key) as given:
            copy_synced(given, target, PART_BYTES)

    def open(self, key: str) -> IO[bytes]:
        return opened(self, key, self.address)

    def _decided(self, key: str, data: bytes, mode: "PutMode") -> Version | None:
        """A completed conditional write: its version if `data` is there, None if the condition failed.

        A refusal may be the answer to a second sending of a write that happened, and a broken connection may hide one: what
        is there says so.
        """
        until = time.monotonic() + self._seconds
        while True:
            try:
                return _written(self._ask(key, lambda: obstore.put(self.client, key, data, mode=mode)))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return self._ours(key, data)
            except UnknownOutcome:
                if self._silent or time.monotonic() >= until:
                    raise
                if (found := self._ours(key, data)) is not None:
                    return found
            time.sleep(PAUSE_SECONDS)

    def _marks_folder(self, meta: "ObjectMeta") -> bool:
        """Hadoop leaves empty objects `folder/`; a listing names them without the slash, and no object has that name."""
        return meta["size"] == 0 and self.find(meta["path"]) is None

    def _ours(self, key: str, data: bytes) -> Version | None:
        try:
            found = self.read(key)
        except FileNotFoundError:
            return None
        return found.version if found.data == data else None

    def _ask(self, key: str, question: Callable[[], Result]) -> Result:
        """FileNotFoundError and a failed condition are answers too."""
        began = time.monotonic()
        try:
            with explained(self.address, key):
                answer = question()
        except Exception as error:
            gave_up = self._silent or time.monotonic() - began >= self._seconds
            self._silent = gave_up and isinstance(error, UnknownOutcome)
            raise
        self._silent = False
        return answer


def _version(meta: "ObjectMeta") -> Version:
    return Version(meta["e_tag"] or "", meta["version"])


def _written(result: "PutResult") -> Version:
    return Version(result["e_tag"] or "", result["version"])


def _entry(meta: "ObjectMeta | Any") -> Entry:
    tag = meta["e_tag"] or str(meta["version"])
    quoted = tag if tag.endswith('"') else f'"{tag}"'  # Azure's listings leave the quotes of its headers away
    return Entry(meta["path"], meta["size"], meta["last_modified"].timestamp(), quoted)
