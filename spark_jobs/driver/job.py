"""A stage as a Spark job: its jobs in Spark's UI are one group, and what it read is what its tasks' own metrics count."""

from functools import wraps
from typing import Any

from nightrank.feature_store.application import stage_jobs
from nightrank.feature_store.contracts.stage import StageContext, StageFunction, StageResult
from nightrank.feature_store.object_storage.spark_faults import explained
from nightrank.spark_jobs.driver.executors import check_executors


def as_job(name: str, function: StageFunction) -> StageFunction:
    """The same function. Its Spark jobs have the stage's name and first sentence; `bytes_read` is what its tasks read (tables,
    landing files and caches alike), where it does not say so itself. On a cluster the executors are checked before it. A
    fault of the lake's bucket is one of our errors."""

    @wraps(function)
    def run(context: StageContext) -> StageResult:
        before = input_bytes()
        sentence = (function.__doc__ or name).strip().splitlines()[0]
        with stage_jobs(context, name, sentence), explained(context.root):
            check_executors(context)
            result = function(context)
        result.bytes_read = result.bytes_read or max(0, input_bytes() - before)
        return result

    return run


def input_bytes() -> int:
    """Input bytes of all tasks of this process' session so far; 0 where there is none."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is None:
        return 0
    context: Any = session.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    executors = context.statusStore().executorList(False)
    return sum(int(executors.apply(i).totalInputBytes()) for i in range(executors.size()))
