"""The few calls of HDFS that its store is made of, each repeated while the name node is away."""

import shutil
import time
import uuid
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final, TypeVar

from hdfs_native import WriteOptions

from nightrank.feature_store.contracts.files import DRAFT
from nightrank.feature_store.contracts.storage import patience
from nightrank.feature_store.contracts.storage.hdfs_errors import NoAnswer, explained

if TYPE_CHECKING:
    from hdfs_native import Client, FileStatus

BLOCK: Final = 4 << 20
"""Bytes that are copied at once."""
Result = TypeVar("Result")


class HdfsCalls:
    """Keys are paths without the first slash. FileNotFoundError and FileExistsError are answers."""

    def __init__(self, client: "Client", address: str, seconds: float) -> None:
        """A name node that is away, or in safe mode, is waited for so many seconds."""
        self._client, self.address, self._seconds = client, address, seconds
        self._silent = False

    def read(self, key: str, start: int = 0, length: int = -1) -> bytes:
        def get() -> bytes:
            with self._client.read(f"/{key}") as handle:
                handle.seek(start)
                return bytes(handle.read(length))

        return self._ask(key, get)

    def draft(self, key: str, data: bytes | IO[bytes]) -> str:
        """A hidden file beside `key` with this content, closed: its blocks are on the data nodes."""

        def put() -> str:
            made = beside(key, f"{uuid.uuid4().hex}{DRAFT}")
            with self._client.create(f"/{made}", WriteOptions(create_parent=True)) as handle:
                if isinstance(data, bytes):
                    handle.write(data)
                else:
                    data.seek(0)
                    shutil.copyfileobj(data, handle, BLOCK)
            return made

        return self._ask(key, put)

    def move(self, draft: str, key: str, *, overwrite: bool = False) -> None:
        """Nobody else knows a draft, so one that is gone at a second try was moved by the first, whose answer was lost."""
        tries = 0

        def rename() -> None:
            nonlocal tries
            tries += 1
            try:
                self._client.rename(f"/{draft}", f"/{key}", overwrite)
            except FileNotFoundError:
                if tries == 1:
                    raise

        self._ask(key, rename)

    def find(self, key: str) -> "FileStatus | None":
        """The file or folder there."""
        try:
            return self._ask(key, lambda: self._client.get_file_info(f"/{key}"))
        except FileNotFoundError:
            return None

    def listed(self, key: str) -> "list[FileStatus]":
        """What is right below a folder; empty for a file and for nothing."""
        try:
            found = self._ask(key, lambda: list(self._client.list_status(f"/{key}")))
        except FileNotFoundError:
            return []
        return [each for each in found if key_of(each) != key]  # a file lists itself

    def remove(self, key: str, *, recursive: bool = False) -> None:
        try:
            self._ask(key, lambda: self._client.delete(f"/{key}", recursive))
        except FileNotFoundError:
            return

    def _ask(self, key: str, question: Callable[[], Result]) -> Result:
        """The answer, waited for; once that was in vain, less long, until there is one."""
        until = time.monotonic() + (min(self._seconds, patience.HASTY_SECONDS) if self._silent else self._seconds)
        pause = patience.FIRST_PAUSE_SECONDS
        while True:
            try:
                with explained(self.address, key):
                    answer = question()
            except NoAnswer:
                if time.monotonic() + pause >= until:
                    self._silent = True
                    raise
                time.sleep(pause)
                pause = min(pause * 2, patience.LONGEST_PAUSE_SECONDS)
            else:
                self._silent = False
                return answer


def beside(key: str, ending: str) -> str:
    """A hidden name in the same folder."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}.{name}.{ending}"


def key_of(status: "FileStatus") -> str:
    return status.path.strip("/")
