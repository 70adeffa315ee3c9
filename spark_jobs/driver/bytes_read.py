"""What a stage read, as Spark's own task metrics count it: the same for every job, and for tables, landing files and caches."""

from functools import wraps
from typing import Any

from nightrank.feature_store.contracts.stage import StageContext, StageFunction, StageResult


def with_bytes_read(function: StageFunction) -> StageFunction:
    """The same job; `bytes_read` is what its tasks read, where it does not say so itself."""

    @wraps(function)
    def run(context: StageContext) -> StageResult:
        before = _input_bytes()
        result = function(context)
        result.bytes_read = result.bytes_read or max(0, _input_bytes() - before)
        return result

    return run


def _input_bytes() -> int:
    """Input bytes of all tasks of this process' session so far; 0 where there is none."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is None:
        return 0
    context: Any = session.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    executors = context.statusStore().executorList(False)
    return sum(int(executors.apply(i).totalInputBytes()) for i in range(executors.size()))
