"""A run that falls asleep: `python -m tests.fence_worker LAKE WHAT before|inside`.

It takes the lease, looks at its fence, stops itself by SIGSTOP right before or right inside the commit of WHAT, and says on its
last line what came of it: `written`, or `refused` with the error.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from nightrank.feature_store import publish
from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, SplitRule
from nightrank.feature_store.contracts.stage import StageContext, StageResult

RUN = "sleeper"


def main(root: Path, what: str, where: str) -> None:
    lake = Lake(root)
    fence = leases.acquire(lake, RUN).fence
    context = StageContext(root, RUN, "nightly", date(2024, 3, 10), seed=17, fence=fence, config=Configuration.from_run({}))
    write = WRITERS[what](context)
    context.check_fence()
    if where == "before":
        sleep()
    else:
        look = fences.check

        def look_and_sleep(*given: Any) -> None:
            look(*given)
            sleep()

        fences.check = look_and_sleep
    try:
        write()
    except ConflictError as error:
        print(f"refused: {error.message}", flush=True)
    else:
        print("written", flush=True)


def sleep() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def table(context: StageContext) -> Callable[[], Any]:
    from nightrank.feature_store import delta_io
    from nightrank.feature_store.spark_schema import to_spark

    rows = _spark().createDataFrame([(1, {"a": "1"}, None)], to_spark(tables.USER_ATTRIBUTES.schema))
    return lambda: delta_io.append(rows, context.lake, tables.USER_ATTRIBUTES, context=context, key="s")


def release(context: StageContext) -> Callable[[], Any]:
    from nightrank.spark_jobs import release as stage

    row = _release(context.fence)
    return lambda: stage._append(_spark(), context, row)


def snapshot(context: StageContext) -> Callable[[], Any]:
    made = DatasetSnapshot(
        kind="full", date="2024-03-10", clock="real", parts={}, normalisation=Normalisation(),
        split=SplitRule(kind="leave_one_out", holdout_modulus=10), event_time_cutoff=0, availability_cutoff=0, seed=1,
        items=2, users=1,
    )  # fmt: skip
    return lambda: publish.publish(made, context)


def record(context: StageContext) -> Callable[[], Any]:
    return lambda: StageResult("embed_items").save(context)


def alias(context: StageContext) -> Callable[[], Any]:
    from nightrank.trainer.stages import register

    return lambda: register.promote(context, model_ref(2), over="1")


def model_ref(version: int) -> ModelRef:
    return ModelRef(
        name="ranker", version=version, alias="challenger", mlflow_run_id="0", manifest_sha256=str(version),
        vocabulary_lineage="0", vocabulary_items=1, snapshot_id="0", run_id=RUN, date="2024-03-10", bundle="models/0",
    )  # fmt: skip


def _release(fence: int) -> Release:
    return Release(
        release_id="late", run_id=RUN, date="2024-03-10", model_name="m", model_version=1, manifest_sha256="0",
        vocabulary_version=0, data_version=0, recommendations_version=0, snapshot_id="s", fence=fence, users=1, rows=1,
        fallback={}, lists_sha256="0",
    )  # fmt: skip


def _spark() -> Any:
    from nightrank.feature_store.contracts.settings import SparkSettings
    from nightrank.feature_store.session import get_session

    return get_session(SparkSettings(driver_memory="1g", shuffle_partitions=2), "fence")


WRITERS = {"table": table, "release": release, "snapshot": snapshot, "record": record, "alias": alias}

if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
