"""The heartbeat files of a run's ranks, as the launcher and the ranks themselves read them."""

import time
from typing import Any

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.storage import Location

Beat = dict[str, Any]


class Heartbeats:
    """Reads `rank-N.json` of one folder again and again.

    A file that cannot be read just now counts as it was read last: a full disk or a busy network folder is no fault of the
    rank. Silence is measured by this process' own clock, because hosts' clocks may differ.
    """

    def __init__(self, folder: Location, leave_out: Location | None = None) -> None:
        self._folder = folder
        self._leave_out = leave_out
        self._known: dict[Location, Beat] = {}
        self._changed: dict[int, float] = {}

    def read(self) -> list[Beat]:
        """Every rank's newest heartbeat, by file name."""
        now = time.monotonic()
        for path in self._folder.glob("rank-*.json"):
            if path != self._leave_out:
                self._read(path, now)
        return [self._known[path] for path in sorted(self._known)]

    def silent_seconds(self, rank: int) -> float:
        """How long ago this rank's current heartbeat was first seen."""
        return time.monotonic() - self._changed[rank]

    def _read(self, path: Location, now: float) -> None:
        try:
            beat = read_json(path)
        except (OSError, ValueError, NightrankError):
            return
        known = self._known.get(path)
        if known is None or known["at"] != beat["at"]:
            self._changed[beat["rank"]] = now
        self._known[path] = beat


class Peers:
    """The other ranks of a run, as one rank sees them."""

    def __init__(self, own: Location, timeout_seconds: float) -> None:
        self._beats = Heartbeats(own.parent, leave_out=own)
        self._timeout = timeout_seconds

    def at_work(self) -> bool:
        """Another rank moved recently and is not waiting: what this rank waits for will come. Needs a shared folder."""
        return any(is_at_work(beat, self._beats.silent_seconds(beat["rank"]), self._timeout) for beat in self._beats.read())


def is_at_work(beat: Beat, silent_seconds: float, timeout_seconds: float) -> bool:
    """The rank still beats, has not ended, waits for no other rank, and moved within the timeout."""
    alive = beat["ended"] is None and silent_seconds < timeout_seconds
    return alive and beat["waiting_in"] is None and beat["still_seconds"] < timeout_seconds
