"""Which faults of a Spark write say that another writer was faster, and not that anything is wrong with ours."""

import re
from typing import Final

from nightrank.feature_store import delta_read
from nightrank.feature_store.causes import causes
from nightrank.feature_store.contracts.lake import Lake

KINDS: Final = frozenset(
    {
        "ConcurrentAppendException",
        "ConcurrentDeleteReadException",
        "ConcurrentDeleteDeleteException",
        "ConcurrentTransactionException",
        "ConcurrentWriteException",
        "DeltaConcurrentModificationException",
        "MetadataChangedException",
        "ProtocolChangedException",
    }
)
"""Delta's exceptions for two commits that exclude each other, by their class."""
CONDITIONS: Final = frozenset(
    {
        "DELTA_FEATURE_DROP_CONFLICT_REVALIDATION_FAIL",
        "DELTA_MAX_COMMIT_RETRIES_EXCEEDED",
        "DELTA_PATH_EXISTS",
        "DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS",
    }
)
"""Faults of other classes that only another writer can cause, by Delta's name for them. A path exists: the table that was to be
made was made meanwhile."""
CONDITION: Final = re.compile(r"\[(DELTA_[A-Z_]+)")


def conflict_of(error: BaseException) -> str | None:
    """Delta's name for the conflict, wherever it is in the chain of causes; None for any other fault."""
    for kind, message in causes(error):
        if kind in KINDS:
            return kind
        if (named := CONDITION.match(message)) and named.group(1) in CONDITIONS:
            return named.group(1)
    return None


def reshaped(lake: Lake, table: str, since: int | None) -> str | None:
    """What happened to the table's columns since that version; None where they are the same. A write that was prepared for
    others can end with any fault."""
    now = None if since is None else delta_read.newest(lake, table)
    if now is None or now.version() == since:
        return None
    before = delta_read.open_table(lake, table, since)
    same = before.metadata().id == now.metadata().id and before.schema().to_json() == now.schema().to_json()
    return None if same else "its columns were changed"
