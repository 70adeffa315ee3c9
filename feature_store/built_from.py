"""How far one table has been built from another, and what the other got since: by their transaction logs, no Spark job.

A commit that brings a table up to a version of its source says so in its key (`<stage>:<source>@<version>`). So the note
changes in one step with the rows, and a build that was killed begins where the last one ended.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from nightrank.feature_store import delta_log, delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import TableRef


def key_of(stage: str, source: TableRef, version: int | None) -> str:
    """The key of a commit; version None where it leaves something of the source out."""
    return f"{stage}:{source.name}@{'' if version is None else version}"


def built_from(lake: Lake, table: TableRef, stage: str, source: TableRef) -> int | None:
    """The version of `source` that all of is in `table`; None where its log does not say."""
    key = delta_log.newest_key(lake, table, key_of(stage, source, None))
    found = "" if key is None else key.partition("@")[2]
    return int(found) if found.isdigit() else None


def added(lake: Lake, source: TableRef, since: int, upto: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch] | None:
    """The columns of the rows that `source` got after version `since`. None where the log does not tell, or a file is gone."""
    paths = delta_log.files_added(lake, source, since, upto)
    if paths is None or not all((lake.table(source.name) / path).exists() for path in paths):
        return None
    found: Iterator[pa.RecordBatch] = delta_read.dataset(lake, source.name, paths, source.schema).to_batches(columns=[*columns])
    return found
