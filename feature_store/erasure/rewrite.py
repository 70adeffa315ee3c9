"""Erasing one user: what is rewritten in which order, so that it can be cut off anywhere and finished by the same command.

The receipt says `begun` before the first file changes, and no run starts until it says `done`. Each step compares what is there
with what should be, so a second pass over finished work changes nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nightrank.feature_store.contracts import cohort, erasures, taken_in
from nightrank.feature_store.contracts.erasures import Receipt
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.holds import hold_of, save_hold
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import day_of
from nightrank.feature_store.erasure import bundles, parquet_files, pins, sqlite_files
from nightrank.feature_store.erasure.delta_logs import LogUpdate
from nightrank.feature_store.erasure.kinds import packed, text_of
from nightrank.feature_store.erasure.search import Hit, area_of, hits, is_log
from nightrank.feature_store.erasure.user import ErasedUser
from nightrank.feature_store.erasure.words import pattern_of, replaced
from nightrank.feature_store.guards.landed import landing_of

LEARNT: Final = ("tables/examples_train", "tables/examples_refit", "tables/impressions_train")
SUMS: Final = "content"
"""In the lake: what each file of a table adds to the table's content hash, by name of the file."""
KNOWN.update({"erase.begun", "erase.after_file", "erase.after_tables", "erase.after_pins", "erase.before_done"})
Commit = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Plan:
    """What holds the user now, and the receipt of earlier passes."""

    user: ErasedUser
    hits: tuple[Hit, ...]
    receipt: Receipt | None

    @property
    def nothing(self) -> bool:
        """Nothing of the user is there, and no erasure of him was cut off."""
        return not self.hits and (self.receipt is None or self.receipt.status == "done")

    def counts(self, lake: Lake) -> tuple[dict[str, int], dict[str, int]]:
        """(rows and cells, files) by area."""
        rows: Counter[str] = Counter()
        for hit in self.hits:
            rows[area_of(lake, hit.place)] += hit.found.rows + hit.found.cells
        return dict(rows), dict(Counter(area_of(lake, hit.place) for hit in self.hits))


def planned(lake: Lake, user: ErasedUser) -> Plan:
    """Reads the whole lake, and changes nothing."""
    return Plan(user, tuple(hits(lake, user)), erasures.receipt_of(lake, user.marker))


def carry_out(lake: Lake, plan: Plan, commit: Commit, versions: dict[str, int]) -> Receipt:
    """The lake holds nothing of the user afterwards but his marker. To be called under the lake's lease."""
    receipt = _begun(lake, plan, versions)
    with commit():
        erasures.save_receipt(lake, receipt)
        # What is kept of a table by the names of its files is made again; nothing makes it before the receipt says `done`.
        for table in {area.split("/")[1] for area in receipt.files if area.startswith("tables/")}:
            (lake.root / SUMS / f"{table}.json").unlink()
    failpoint("erase.begun")
    pattern = pattern_of(plan.user)
    for hit in plan.hits:
        if hit.kind == "parquet" and not is_log(hit.place):
            with commit():
                parquet_files.rewrite(hit.place, plan.user)
            failpoint("erase.after_file")
    with commit():
        for folder in lake.root.glob("tables/*"):
            LogUpdate(lake, folder.name, plan.user).apply()
    failpoint("erase.after_tables")
    with commit():
        changed = pins.correct_all(lake)
        bundles.correct_all(lake)
        cohort.correct(lake)
    failpoint("erase.after_pins")
    with commit():
        _correct_holds(lake, plan.hits)
        _rewrite_texts(hits(lake, plan.user), plan.user, pattern)
    failpoint("erase.before_done")
    done = {"status": "done", "ended": _now(), "snapshots": tuple(sorted({*receipt.snapshots, *changed}))}
    receipt = receipt.model_copy(update=done)
    with commit():
        erasures.save_receipt(lake, receipt)
    return receipt


def _begun(lake: Lake, plan: Plan, versions: dict[str, int]) -> Receipt:
    """The receipt with what this pass finds. A pass that continues one that was cut off counts nothing twice."""
    before = plan.receipt
    if before is not None and before.status == "begun":
        return before
    rows, files = plan.counts(lake)
    lists: Counter[str] = Counter()
    for hit in plan.hits:
        lists.update(dict(hit.found.releases) if area_of(lake, hit.place) == "tables/recommendations" else {})
    trained = any(rows.get(area) for area in LEARNT)
    at = {name: (version, version) for name, version in versions.items() if f"tables/{name}" in files}
    if before is None:
        return Receipt(
            user=plan.user.marker,
            status="begun",
            begun=_now(),
            rows=rows,
            files=files,
            lists=lists,
            versions=at,
            trained=trained,
        )
    more = {
        "rows": dict(Counter(before.rows) + Counter(rows)),
        "files": dict(Counter(before.files) + Counter(files)),
        "lists": dict(Counter(before.lists) + lists),
        "versions": {**before.versions, **at},
        "trained": before.trained or trained,
    }
    return before.model_copy(update={"status": "begun", "passes": before.passes + 1, **more})


def _correct_holds(lake: Lake, found: Iterable[Hit]) -> None:
    """What a guard decided of a day and what was taken in of it is about its files: they are the same day without one user."""
    for day in sorted({day_of(hit.place) for hit in found if area_of(lake, hit.place).startswith("landing/")}):
        hold = hold_of(lake, day)
        if hold is not None:
            save_hold(lake, hold.model_copy(update={"landing": landing_of(lake, day)}))
        taken_in.correct(lake, day)


def _rewrite_texts(found: Iterable[Hit], user: ErasedUser, pattern: re.Pattern[bytes]) -> None:
    """What still holds the user now that tables and their logs do not: JSON, pages, logs, SQLite."""
    for hit in list(found):
        if is_log(hit.place):
            # Not in statistics any more; a stray mention would have to be in a commit's notes, which hold no ids.
            continue
        if hit.kind == "sqlite":
            sqlite_files.rewrite(hit.place, pattern, user.marker)
        else:
            rewrite_text(hit, user, pattern)


def rewrite_text(hit: Hit, user: ErasedUser, pattern: re.Pattern[bytes]) -> bool:
    """The marker stands in place of the user's ids. False where the file is no text, and stays as it is."""
    if hit.kind not in ("text", "gzip", "zstd"):
        return False
    text, _ = replaced(text_of(hit.place, hit.kind), pattern, user.marker)
    hit.place.write_bytes(packed(text, hit.kind))
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
