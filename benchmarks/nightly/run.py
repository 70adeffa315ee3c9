"""The data stages of one night in a process of its own, as the pipeline runs them: seconds and bytes of each as JSON.

`python -m benchmarks.nightly.run --root LAKE --day DATE`. Afterwards the night is the lake's champion: the next follows it.
"""

import argparse
import json
import time
from datetime import date
from typing import Any, Final

import psutil

from benchmarks.nightly.history import declare
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.stage import StageContext, run_stage
from nightrank.feature_store.session import get_session
from nightrank.spark_jobs.driver.host import function_of
from nightrank.spark_jobs.driver.job import as_job, input_bytes

STAGES: Final = ("ingest_events", "build_features", "build_training_set")
FEATURES: Final = Features(
    user=("count_7d", "purchase_28d", "recency_days"), item=("count_7d", "count_28d", "purchase_28d"), timezone="UTC"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    options = parser.parse_args()
    read = {"user": list(FEATURES.user), "item": list(FEATURES.item)}
    config = Configuration.from_run({"text": {"encoder": "none"}, "features": read})
    lake, run_id = Lake(options.root), f"nightly-{options.day}"
    context = StageContext(lake.root, run_id, "nightly", options.day, seed=17, fence=0, config=config)
    began = time.monotonic()
    get_session(SparkSettings())
    found: dict[str, Any] = {"session": round(time.monotonic() - began, 2), "stages": {}}
    for name in STAGES:
        before, cpu = input_bytes(), _cpu_seconds()
        result = run_stage(name, as_job(name, function_of(name)), context)
        hashes = {table["name"]: table["content_sha256"] for table in result.tables}
        found["stages"][name] = {"seconds": result.seconds, "bytes_read": input_bytes() - before, "content": hashes}
        found["stages"][name]["cpu_seconds"] = round(_cpu_seconds() - cpu, 2)
    declare(lake, read_json(context.run_dir / "snapshot.json")["id"], run_id, options.day.isoformat())
    print(json.dumps(found))


def _cpu_seconds() -> float:
    """Of this process, its JVM and its Python workers: less changed by what else the machine does than seconds are."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


if __name__ == "__main__":
    main()
