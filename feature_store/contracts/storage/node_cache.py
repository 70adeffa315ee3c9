"""Files of a bucket as files of this machine: fetched once, by content, for all processes of the host; bounded.

A disk's files are their own copies. What is read again in every epoch, and by every rank, is fetched over the network once.
"""

import errno
import hashlib
import os
import shutil
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
        """A file of this machine, of the same name, with the content that is at `place` now. FileNotFoundError if none is.

        `entry`, from a listing, saves asking the store again. The copy stays for ten minutes at least, and while it is open.
        """
        if place.is_local:
            return place.path
        found = entry or place.entry()
        return self._unit(place, [(place.name, found)]) / place.name

    def local_folder(self, place: Location) -> Path:
        """A folder of this machine, of the same name, with the files that are below `place` now. FileNotFoundError if none are.

        A bundle is such a folder: its files are opened by name. Nobody may write into it.
        """
        if place.is_local:
            return place.path
        listed = [(f"{place.name}/{each.below(place)}", entry) for each, entry in place.walk()]
        if not listed:
            raise FileNotFoundError(str(place))
        return self._unit(place, listed) / place.name

    def _unit(self, place: Location, files: list[tuple[str, Entry]]) -> Path:
        """The folder that holds these files under these names, fetched whole or found."""
        facts = [[name, entry.tag, entry.size] for name, entry in files]
        name = hashlib.sha256(f"{place}\n{facts}".encode()).hexdigest()
        unit = self.folder / name[:2] / name
        if not _touched(unit):
            with locked(unit.with_suffix(".lock"), exclusive=True, seconds=FETCH_SECONDS):
                if not _touched(unit):
                    self._fetch(place, files, unit)
        return unit

    def _fetch(self, place: Location, files: list[tuple[str, Entry]], unit: Path) -> None:
        self._make_room(sum(entry.size for _, entry in files))
        draft = unit.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with _room(self.folder):
                for name, entry in files:
                    target = draft / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    place.store.download(entry.key, target)
                    if target.stat().st_size != entry.size:
                        raise DependencyUnreachable(f"{place} changed while it was fetched", "start the stage again")
            draft.rename(unit)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _make_room(self, wanted: int) -> None:
        """What was used longest ago goes until `wanted` bytes fit; what is young stays, also where it is too much."""
        units = sorted(self._units(), key=lambda status: status[1])
        held = sum(size for _, _, size in units)
        for path, used, size in units:
            if held + wanted <= self.most_bytes:
                return
            if time.time() - used > YOUNG_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
                path.with_suffix(".lock").unlink(missing_ok=True)
                held -= size

    def _units(self) -> Iterator[tuple[Path, float, int]]:
        """(folder, when it was used last, bytes)"""
        for path in self.folder.glob("??/*"):
            if path.suffix != ".lock":
                with suppress(FileNotFoundError):
                    size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
                    yield path, path.stat().st_mtime, size


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


def local_copy(place: Location | Path) -> Path:
    """See `NodeCache.local_copy`."""
    return place if isinstance(place, Path) else node_cache().local_copy(place)


def local_folder(place: Location | Path) -> Path:
    """See `NodeCache.local_folder`."""
    return place if isinstance(place, Path) else node_cache().local_folder(place)


def workplace(place: Location | Path) -> Path:
    """The folder of this machine for what belongs at `place` and is written in pieces: `place` itself on a disk."""
    if isinstance(place, Path) or place.is_local:
        return Path(place)
    bucket = hashlib.sha256(f"{place.scheme}://{place.bucket}".encode()).hexdigest()[:16]
    return node_cache().folder / "work" / bucket / place.key


def discard(place: Location) -> None:
    """Nothing is at `place` or below it afterwards, in its workplace neither."""
    place.remove_tree()
    if not place.is_local:
        shutil.rmtree(workplace(place), ignore_errors=True)


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
