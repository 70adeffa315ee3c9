"""nightrank's commands on the cluster, and what they leave: results, content hashes, event logs."""

import json
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.lake import Lake
from tests.cluster.conftest import PYTHON
from tests.cluster.standalone import Cluster
from tests.commands import nightrank

CONFIG = ("--config", "tiny", "--set", "trainer.launcher=one_process")
QUICK = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""Three JVMs that live for minutes on two cores: no second compiler, and no Java made of queries over a few rows."""
FIRST = ("ingest_events", "build_features")


def on(cluster: Cluster, events: Path) -> tuple[str, ...]:
    """The options of a run on the cluster, with an event log that a test can read."""
    events.mkdir(exist_ok=True)
    log = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": str(events), "spark.eventLog.compress": "false"}
    settings = {**log, **QUICK, "spark.pyspark.python": PYTHON}
    return ("--set", f"spark.master={cluster.master}", "--set", f"spark.extra={json.dumps(settings)}")


def applications(events: Path, *, repeated: bool = False) -> dict[str, set[str]]:
    """The hosts whose executors ended a task well, by the name of the application. `repeated`: attempts share their name."""
    found: dict[str, set[str]] = {}
    for folder in sorted(path for path in events.iterdir() if path.is_dir()):
        lines = [json.loads(line) for path in sorted(folder.glob("events_*")) for line in path.open()]
        (name,) = [line["App Name"] for line in lines if line["Event"] == "SparkListenerApplicationStart"]
        assert repeated or name not in found, "each has a name of its own"
        ended = [line for line in lines if line["Event"] == "SparkListenerTaskEnd" and not line["Task Info"]["Failed"]]
        found[name] = found.get(name, set()) | {line["Task Info"]["Host"] for line in ended}
    return found


def hashes(result: dict[str, Any], names: tuple[str, ...] = FIRST) -> dict[str, str]:
    stages = [stage for stage in result["stages"] if stage["name"] in names]
    return {table["name"]: table["content_sha256"] for stage in stages for table in stage["tables"]}


def new_lake(root: Path) -> Lake:
    lake = Lake(root)
    nightrank(lake, "simulate", "--preset", "tiny")
    return lake
