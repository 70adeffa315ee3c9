"""Where a study's record of trials is kept: a file on a disk, an object in a bucket."""

import json
from collections.abc import Iterator
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from nightrank.feature_store.contracts.storage import Location, Stored


def journal_at(place: Location) -> BaseJournalBackend:
    return JournalFileBackend(str(place.path)) if place.is_local else BucketJournal(place)


class BucketJournal(BaseJournalBackend):
    """Lines of one object, which each addition replaces by compare-and-swap: it is there whole or not at all, and none of two
    writers loses what the other added. Every machine that searches the study sees the same."""

    def __init__(self, place: Location) -> None:
        self.place = place

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        found = self._found()
        yield from (json.loads(line) for line in (found.data.splitlines() if found else [])[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """The records are at the end afterwards, once each: they name their writer, so a lost answer is told from a loss."""
        added = "".join(f"{json.dumps(record, separators=(',', ':'))}\n" for record in logs).encode()
        while True:
            found = self._found()
            if found is None:
                if self.place.create(added):
                    return
            elif self.place.swap(found.data + added, found.version) is not None:
                return

    def _found(self) -> Stored | None:
        try:
            return self.place.read()
        except FileNotFoundError:
            return None
