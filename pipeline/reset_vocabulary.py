"""`nightrank reset-vocabulary`: dense ids are given from 1 again. Tables that hold them are emptied, older models are refused.

Events, items, users, lists and releases hold raw ids and stay, so the lists that are live stay live until the next full run.
The files of earlier versions go too: an erasure finds a user's rows by the dense id, which is another one now.
"""

from datetime import UTC, datetime
from typing import Any, Final

from nightrank.feature_store import delta_read, live_runs
from nightrank.feature_store.contracts.erasures import check_none_begun
from nightrank.feature_store.contracts.errors import NothingToDo, SafetyRefusal
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lease import Lease, held
from nightrank.feature_store.contracts.tables import (
    BASELINE_LISTS,
    EXAMPLES,
    IMPRESSION_CODES,
    IMPRESSIONS,
    INTERACTIONS,
    ITEM_DAYS,
    ITEM_EMBEDDINGS,
    ITEM_INPUTS,
    RETIRED,
    USER_ATTRIBUTES,
    USER_DAYS,
    VOCABULARY,
)
from nightrank.feature_store.contracts.vocabulary_lineage import Lineage, lineage_of, save_lineage
from nightrank.feature_store.emptied import empty

DENSE: Final = tuple(
    table.name
    for table in (
        VOCABULARY,
        INTERACTIONS,
        USER_DAYS,
        ITEM_DAYS,
        USER_ATTRIBUTES,
        ITEM_EMBEDDINGS,
        ITEM_INPUTS,
        *EXAMPLES.values(),
        *IMPRESSIONS.values(),
        IMPRESSION_CODES,
        BASELINE_LISTS,
        *RETIRED,
    )
)
"""Tables with dense ids. All are made again from events, items and users."""
KNOWN.update({"reset.begun", "reset.after_table"})


def reset_vocabulary(lake: Lake, *, confirmed: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """What was (or with `dry_run` would be) emptied. NothingToDo without a vocabulary; SafetyRefusal, with nothing written,
    without `confirmed` or while a search reads the tables; ConflictError while a run works on the lake."""
    check_none_begun(lake)
    before = lineage_of(lake)
    rows = _rows(lake)
    begun = before is not None and before.status == "begun"
    if VOCABULARY.name not in rows or not (rows[VOCABULARY.name] or begun):
        raise NothingToDo(f"{lake.root} has no vocabulary to reset", "the next full run makes one")
    if dry_run:
        return _answer("planned", lake, (before.number if before else 1) + (0 if begun else 1), rows)
    if not confirmed:
        raise SafetyRefusal(
            f"dense ids of {lake.root} would be given again: {len(rows)} tables would be emptied, models trained so far "
            "refused, and no rollback would reach behind it",
            "nothing was done; look at it with --dry-run, and give --yes to do it",
        )
    if next(iter(live_runs.searches(lake)), None) is not None:
        raise SafetyRefusal("a search (`nightrank tune`) is under way and reads these tables", "end it, then give this again")
    with held(lake, f"reset-{datetime.now(UTC):%Y-%m-%dT%H%M%S}") as lease:
        lineage = _carried_out(lake, lease, rows)
    return _answer("done", lake, lineage.number, rows)


def _carried_out(lake: Lake, lease: Lease, tables: dict[str, int]) -> Lineage:
    before = lineage_of(lake)
    lineage = before if before is not None and before.status == "begun" else _next(lake, before)
    with lease.commit():
        save_lineage(lake, lineage)
    failpoint("reset.begun")
    for name in tables:
        with lease.commit():
            empty(lake, name)
        failpoint("reset.after_table")
    ended = lineage.model_copy(update={"status": "done"})
    with lease.commit():
        save_lineage(lake, ended)
    return ended


def _next(lake: Lake, before: Lineage | None) -> Lineage:
    version = delta_read.table_version(lake, VOCABULARY.name) or 0
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Lineage(number=before.number + 1 if before else 2, vocabulary_from=version + 1, status="begun", begun=now)


def _rows(lake: Lake) -> dict[str, int]:
    """Rows of each table with dense ids that the lake has."""
    versions = {name: delta_read.table_version(lake, name) for name in DENSE}
    return {name: delta_read.rows_of(lake, name, version) for name, version in versions.items() if version is not None}


def _answer(status: str, lake: Lake, number: int, rows: dict[str, int]) -> dict[str, Any]:
    champion = lake.champion()
    refused = None if champion is None else {"name": champion.name, "version": champion.version, "date": champion.date}
    return {"status": status, "exit_code": 0, "lineage": number, "emptied": rows, "refused": refused}
