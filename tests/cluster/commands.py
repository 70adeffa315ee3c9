"""nightrank's commands on the cluster, with its settings for so small a machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import RUN_DIR
from tests.cluster.conftest import PYTHON
from tests.cluster.standalone import Cluster

CONFIG = ("--config", "tiny", "--set", "trainer.launcher=one_process")
QUICK = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""Three JVMs that live for minutes on two cores: no second compiler, and no Java made of queries over a few rows."""


def command(lake: Lake, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, "--root", str(lake.root), "--json"]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != RUN_DIR}


def nightrank(lake: Lake, *arguments: str, expect: tuple[int, ...] = (0,)) -> dict[str, Any]:
    done = subprocess.run(command(lake, *arguments), capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode in expect, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def on(cluster: Cluster, events: Path) -> tuple[str, ...]:
    """The options of a run on the cluster, with an event log that a test can read."""
    events.mkdir(exist_ok=True)
    log = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": str(events), "spark.eventLog.compress": "false"}
    settings = {**log, **QUICK, "spark.pyspark.python": PYTHON}
    return ("--set", f"spark.master={cluster.master}", "--set", f"spark.extra={json.dumps(settings)}")
