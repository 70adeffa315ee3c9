"""Files of a bucket as files of this machine: fetched once, by content, for all processes of the host; bounded.

A disk's files are their own copies. What is read again in every epoch, and by every rank, is fetched over the network once.
"""

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable
from nightrank.feature_store.contracts.lake_lock import locked
from nightrank.feature_store.contracts.storage.location import Location
from nightrank.feature_store.contracts.storage.store import Entry

FOLDER: Final = "NIGHTRANK_NODE_CACHE"
GIBIBYTES: Final = "NIGHTRANK_NODE_CACHE_GIB"
DEFAULT_GIBIBYTES: Final = 50.0
FETCH_SECONDS: Final = 3600.0
"""How long one process waits for another that fetches the same file."""
YOUNG_SECONDS: Final = 600.0
"""What was asked for within this time is never thrown out: its reader may be about to open it."""


@dataclass(frozen=True)
class NodeCache:
    """A folder of this machine. Several processes may fill it at once; each file is fetched by one of them."""

    folder: Path
    most_bytes: int

    def local_copy(self, place: Location, entry: Entry | None = None) -> Path:
        """A file of this machine with the content that is at `place` now. FileNotFoundError if nothing does.

        `entry`, from a listing, saves asking the store again. The copy stays for ten minutes at least, and while it is open.
        """
        if place.is_local:
            return place.path
        found = entry or place.find()
        if found is None:
            raise FileNotFoundError(str(place))
        copy = self._path(place, found)
        if not _touched(copy):
            with locked(copy.with_suffix(".lock"), exclusive=True, seconds=FETCH_SECONDS):
                if not _touched(copy):
                    self._fetch(place, found, copy)
        return copy

    def _path(self, place: Location, entry: Entry) -> Path:
        name = hashlib.sha256(f"{place}\n{entry.tag}\n{entry.size}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name}{place.suffix}"

    def _fetch(self, place: Location, entry: Entry, copy: Path) -> None:
        self._make_room(entry.size)
        draft = copy.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with _room(self.folder):
                place.store.download(place.key, draft)
            if draft.stat().st_size != entry.size:
                raise DependencyUnreachable(f"{place} changed while it was fetched", "start the stage again")
            draft.replace(copy)
        finally:
            draft.unlink(missing_ok=True)

    def _make_room(self, wanted: int) -> None:
        """The files used longest ago go until `wanted` bytes fit; young ones stay, also where they are too many."""
        files = sorted(self._files(), key=lambda status: status[1])
        held = sum(size for _, _, size in files)
        for path, used, size in files:
            if held + wanted <= self.most_bytes:
                return
            if time.time() - used > YOUNG_SECONDS:
                path.unlink(missing_ok=True)
                path.with_suffix(".lock").unlink(missing_ok=True)
                held -= size

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        for path in self.folder.glob("??/*"):
            if path.suffix != ".lock":
                with suppress(FileNotFoundError):
                    status = path.stat()
                    yield path, status.st_mtime, status.st_size


def node_cache() -> NodeCache:
    """This machine's, as the environment has it: $NIGHTRANK_NODE_CACHE, of at most $NIGHTRANK_NODE_CACHE_GIB."""
    folder = os.environ.get(FOLDER) or str(
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nightrank" / "objects"
    )
    given = os.environ.get(GIBIBYTES, str(DEFAULT_GIBIBYTES))
    try:
        return NodeCache(Path(folder), int(float(given) * 2**30))
    except ValueError:
        raise ConfigError(f"{GIBIBYTES} is {given!r}", "give a number of gibibytes") from None


def _touched(copy: Path) -> bool:
    """Whether the copy is there; it counts as used now."""
    try:
        os.utime(copy)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """A full disk is an error with a remedy; an incomplete fetch has been removed by then."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DependencyUnreachable(
                f"no room is left on the disk of the node cache {folder}", f"free some, or name another folder in {FOLDER}"
            ) from None
        raise
