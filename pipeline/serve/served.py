"""One release in memory, as the service answers from it; and who keeps the current one."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DependencyUnreachable, NightrankError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import POPULAR_ITEMS, RECOMMENDATIONS, SIMILAR_ITEMS, TableRef
from nightrank.pipeline.anonymous import FROM_HISTORY, POPULAR, hidden_from
from nightrank.pipeline.recommend import current, id_of, titles_of
from nightrank.pipeline.serve.worker import Worker

Rows = list[dict[str, Any]]
LISTED: Final = (c.ITEM_ID, c.SCORE, c.FALLBACK)
SIMILAR: Final = (c.SIMILAR_ID, c.SCORE, c.REASON)
POPULARITY: Final = (c.ITEM_ID, c.COUNT)


class Index:
    """Rows of one table by a key, best first: Arrow columns, and where each key's rows begin and end."""

    def __init__(self, lake: Lake, table: TableRef, version: int | None, key: str, columns: Sequence[str]) -> None:
        self.rows = _sorted(lake, table, version, key, columns)
        keys = self.rows.column(key).to_pylist()
        starts = [place for place, value in enumerate(keys) if place == 0 or keys[place - 1] != value]
        self.places = {keys[at]: (at, end) for at, end in pairwise([*starts, len(keys)])}
        self.columns = columns

    def of(self, key: str, k: int) -> Rows:
        start, end = self.places.get(key, (0, 0))
        rows: Rows = self.rows.slice(start, min(k, end - start)).select([*self.columns]).to_pylist()
        return rows


class Served:
    """`release` with its lists, titles and model."""

    def __init__(self, lake: Lake, release: Release, files: list[str], overrides: list[str]) -> None:
        self.release, self.titles, self.known_as = release, titles_of(lake), id_of(lake, release, files, overrides)
        self.lists = Index(lake, RECOMMENDATIONS, release.recommendations_version, c.USER_ID, LISTED)
        self.similar = Index(lake, SIMILAR_ITEMS, release.similar_items_version, c.ITEM_ID, SIMILAR)
        self.popular = Index(lake, POPULAR_ITEMS, release.popular_items_version, c.SEGMENT, POPULARITY)
        self.worker = Worker(lake, release.manifest_sha256, hidden_from(lake, release))

    def recommend(self, user: str, k: int) -> dict[str, Any]:
        """The user's list, or what is popular where there is none: `known` says which."""
        rows = self.lists.of(self.known_as(user), k)
        return {"user": user, "known": bool(rows), **self._answer(rows)} if rows else {"user": user, **self.of_popular("", k)}

    def of_history(self, history: Sequence[str], k: int) -> dict[str, Any]:
        listed, known = self.worker.listed(history, k)
        how = FROM_HISTORY if known else POPULAR
        rows = [{c.ITEM_ID: item, c.SCORE: score, c.FALLBACK: how} for item, score in listed]
        return {"history": [*history], "known": known, **self._answer(rows)}

    def of_popular(self, segment: str, k: int) -> dict[str, Any]:
        rows = self.popular.of(segment, k) or self.popular.of("", k)
        if not rows:
            rows = [{c.ITEM_ID: item, c.SCORE: score} for item, score in self.worker.listed([], k)[0]]
        return {"known": False, **self._answer([{**row, c.FALLBACK: POPULAR} for row in rows])}

    def like(self, item: str, k: int) -> dict[str, Any]:
        rows = [{c.ITEM_ID: row.pop(c.SIMILAR_ID), **row} for row in self.similar.of(item, k)]
        return {"item": item, "known": bool(rows), **self._answer(rows)}

    def _answer(self, rows: Rows) -> dict[str, Any]:
        items = [{c.RANK: rank, **row, "title": self.titles.get(row[c.ITEM_ID])} for rank, row in enumerate(rows, 1)]
        return {"release_id": self.release.release_id, "date": self.release.date, "items": items}


class Keeper:
    """Holds what is served and follows the lake: a new release takes the place of the old one once it is whole in memory."""

    def __init__(self, lake: Lake, files: list[str], overrides: list[str], seconds: float) -> None:
        self._lake, self._seconds, self._ended = lake, seconds, threading.Event()
        self._open: Callable[[Release], Served] = partial(Served, lake, files=files, overrides=overrides)
        self.now = self._open(current(lake))
        self.fault: str | None = None
        """Why the newest release is not served."""
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def of_history(self, history: Sequence[str], k: int) -> dict[str, Any]:
        """As `Served`'s, also where the release changes meanwhile."""
        served = self.now
        try:
            return served.of_history(history, k)
        except DependencyUnreachable:
            if self.now is served:
                raise
            return self.now.of_history(history, k)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.now.worker.end()

    def look(self) -> None:
        """What is current in the lake is what is served; where it cannot be opened, the one before stays: `fault` says why."""
        try:
            release = delta_read.latest_release(self._lake)
            if release is not None and release != self.now.release:
                self.now, before = self._open(release), self.now
                before.worker.end()
                log.info(f"serve: release {release.release_id} of {release.date}")
            self.fault = None
        except (NightrankError, OSError) as error:
            self.fault = str(error)
            log.warning(f"serve: the newest release cannot be opened: {error}")

    def _follow(self) -> None:
        while not self._ended.wait(self._seconds):
            self.look()


def _sorted(lake: Lake, table: TableRef, version: int | None, key: str, columns: Sequence[str]) -> pa.Table:
    names = list(dict.fromkeys((key, c.RANK, *columns)))
    if version is None:
        return pa.schema([table.schema.field(name) for name in names]).empty_table()
    stored = delta_read.stored(lake, table, version)
    return stored.to_table(columns=names).sort_by([(key, "ascending"), (c.RANK, "ascending")]).combine_chunks()
