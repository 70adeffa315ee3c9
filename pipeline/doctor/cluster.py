"""Do the executors of the cluster have our Python, its packages and the project? A tiny application asks each of them."""

import json
import socket
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.secret_settings import SPARK_SETTINGS
from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine, Output

PROGRAM: Final = "nightrank.spark_jobs.driver.executors"
CONNECT_SECONDS: Final = 5.0
NAME: Final = "cluster_executors"


def check_cluster(machine: Machine, settings: DataSettings) -> list[Finding]:
    """One finding for each executor that cannot run our code, else one for all. It needs a free slot on each."""
    master = settings.spark.master
    if master is not None and master.startswith("local"):
        return [Finding(NAME, "warn", f"spark.master is {master}: there is no cluster", "set spark.master to the cluster's")]
    if (silent := _silent(master or "")) is not None:
        return [Finding(NAME, "fail", silent, "start the master, or set spark.master to the address on its page")]
    given = json.dumps(settings.spark.model_dump(mode="json"))
    with tempfile.TemporaryDirectory(prefix="nightrank-") as folder:
        file = Path(folder) / "executors.json"
        answer = machine.run_on_cluster([machine.python, "-m", PROGRAM, str(file)], {**machine.environ, SPARK_SETTINGS: given})
        facts: dict[str, Any] | None = read_json(file) if answer.code == 0 and file.exists() else None
    if facts is None:
        return [Finding(NAME, "fail", f"no application starts on {master}: {_words(answer)}", "see the master's own log")]
    broken = [executor for executor in facts["executors"] if executor["fault"]]
    if broken:
        return [Finding(NAME, "fail", f"executor {e['name']} on {e['host']} {e['fault']}", facts["remedy"]) for e in broken]
    if not facts["executors"]:
        remedy = "free a core and memory on a worker, or ask for less by spark.executor.memory and spark.executor.cores"
        return [Finding(NAME, "fail", f"{facts['master']} gave no executor", remedy)]
    hosts = ", ".join(sorted({executor["host"] for executor in facts["executors"]}))
    seen = f"{len(facts['executors'])} on {hosts}: Python {facts['python']} with {', '.join(facts['packages'])}"
    return [Finding(NAME, "ok", seen)]


def _silent(master: str) -> str | None:
    """What is wrong with the addresses of a standalone master; None where one answers, or it is no standalone master."""
    if not master.startswith("spark://"):
        return None
    faults = []
    for address in master.removeprefix("spark://").split(","):
        try:
            place = urlsplit(f"//{address}")
            with socket.create_connection((place.hostname or "", place.port or 7077), CONNECT_SECONDS):
                return None
        except (OSError, ValueError) as error:
            faults.append(f"{address} does not answer ({error})")
    return "; ".join(faults)


def _words(answer: Output) -> str:
    printed = [line for line in (answer.err or answer.out).strip().splitlines() if line.strip()]
    return printed[-1].strip()[:300] if printed else "no output"
