"""Around a Spark write to a table: the fence in one step with the commit, and other writers' conflicts as ConflictError.

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
from nightrank.feature_store.contracts.storage import locate

WHOLE_FILE: Final = 2**63 - 1
CONFLICTS: Final = (
    "ConcurrentAppend",
    "ConcurrentDeleteRead",
    "ConcurrentDeleteDelete",
    "ConcurrentTransaction",
    "ConcurrentWrite",
    "DeltaConcurrentModification",
    "MetadataChanged",
    "ProtocolChanged",
)
"""What Delta raises, each with `Exception` behind it, where another writer was faster."""


@contextmanager
def committing(spark: SparkSession, context: StageContext, table: str) -> Iterator[None]:
    """Inside, the JVM may write `table`. ConflictError if the run was superseded, or if another writer was faster."""
    with _fenced(spark, context):
        try:
            yield
        except (Py4JJavaError, PySparkException) as error:
            name = conflict_of(error)
            if name is None:
                raise
            raise ConflictError(
                f"table {table} was written by another process at the same time ({name})",
                "nothing of this write was committed; run the stage again when the other has ended",
            ) from error


def conflict_of(error: BaseException) -> str | None:
    """The name of Delta's conflict, wherever it is in the chain of causes; None for any other fault."""
    java = getattr(error, "java_exception", None)
    names = [type(error).__name__]
    while java is not None:
        names.append(str(java.getClass().getSimpleName()))
        java = java.getCause()
    return next((name for name in names if name.removesuffix("Exception") in CONFLICTS), None)


@contextmanager
def _fenced(spark: SparkSession, context: StageContext) -> Iterator[None]:
    """`fence.commit`, with the lock in the hands of the JVM."""
    if context.fence <= 0:
        yield
        return
    if not locate(context.root).is_local:
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
