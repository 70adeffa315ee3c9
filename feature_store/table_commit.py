"""Around a Spark write to a table: the fence in one step with the commit, and other writers' conflicts as ConflictError
(`delta_conflicts` knows them).

The commit happens in the JVM, and may happen after this process was killed or stopped. So it is the JVM that holds the lake's
lock: while it lives and has not committed, nobody can take the lake over.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake_lock import POLL_SECONDS
from nightrank.feature_store.contracts.process import process_of
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.delta_conflicts import conflict_of, reshaped

WHOLE_FILE: Final = 2**63 - 1


@contextmanager
def committing(spark: SparkSession, context: StageContext, table: str, since: int | None = None) -> Iterator[None]:
    """Inside, the JVM may write `table`. ConflictError if the run was superseded, or if another writer was faster. `since` is
    the table's version when the write was prepared, where it had one."""
    with _fenced(spark, context):
        try:
            yield
        except (Py4JJavaError, PySparkException) as error:
            name = conflict_of(error) or reshaped(context.lake, table, since)
            if name is None:
                raise
            raise ConflictError(
                f"table {table} was written by another process at the same time ({name})",
                "nothing of this write was committed; run the stage again when the other has ended",
            ) from error


@contextmanager
def _fenced(spark: SparkSession, context: StageContext) -> Iterator[None]:
    """`fence.commit`, with the lock in the hands of the JVM."""
    if context.fence <= 0:
        yield
        return
    if not context.root.is_local:
        pid = int(_jvm(spark).java.lang.ProcessHandle.current().pid())
        with fences.commit(context.lake, context.run_id, context.fence, writer=process_of(pid)):
            yield
        return
    path = fences.lock_path(context.lake)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _jvm(spark).java.io.RandomAccessFile(str(path), "rw")
    try:
        _take(file.getChannel(), path)
        context.check_fence()
        yield
    finally:
        file.close()  # and the lock with it


def _take(channel: Any, path: Path) -> None:
    """A shared lock; java's FileLock is a POSIX lock, which `lake_lock` respects."""
    until = time.monotonic() + fences.WAIT_SECONDS
    while channel.tryLock(0, WHOLE_FILE, True) is None:
        if time.monotonic() >= until:
            raise fences.busy(TimeoutError(f"{path} is locked by another process"))
        time.sleep(POLL_SECONDS)


def _jvm(spark: SparkSession) -> Any:
    return spark.sparkContext._jvm
