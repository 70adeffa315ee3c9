"""Whether the executors of a cluster can run our code: each one's Python is asked, without needing it to be the right one."""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyspark.sql import SparkSession

from nightrank.feature_store.application import labelled
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.secret_settings import SPARK_SETTINGS
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.stage import exit_codes
from nightrank.feature_store.session import get_session
from nightrank.feature_store.submitted import master_of

PACKAGES: Final = ("pyarrow", "numpy", "torch", "nightrank")
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
WAIT_SECONDS: Final = 45.0
SETTLED_SECONDS: Final = 2.0
ROUNDS: Final = 5
GROUP: Final = "nightrank executors"
REMEDY: Final = (
    "give all executors this environment: install the same lock and nightrank on their hosts, or ship an archive by "
    "spark.archives and name its Python in spark.pyspark.python"
)

# For any Python 3. Files that --py-files ships lie in the executor's folder, where PySpark's workers look too.
PROBE: Final = """
import glob, json, sys
from importlib.util import find_spec
sys.path[:0] = ["."] + [path for end in ("zip", "egg", "jar") for path in sorted(glob.glob("*." + end))]
missing = [name for name in sys.argv[1:] if find_spec(name) is None]
print(json.dumps({"python": "%d.%d" % sys.version_info[:2], "missing": missing}))
"""
# Each task takes a slot for a moment, so that one executor does not answer for all.
SHELL: Final = 'cat > /dev/null; sleep 0.5; python="$0"; "$python" -c "$@" 2>&1 || echo "ended with $?"'
_checked: set[str] = set()


@dataclass(frozen=True)
class Executor:
    """One executor and what is wrong with its Python; `fault` is empty where nothing is."""

    name: str
    host: str
    fault: str

    def __str__(self) -> str:
        return f"executor {self.name} on {self.host}{f' {self.fault}' if self.fault else ''}"


def check_executors(context: StageContext) -> None:
    """ConfigError names every executor that cannot run our code. Once an application, and with a local master never.

    Where no executor comes up in WAIT_SECONDS, Spark waits on for them, unchecked.
    """
    settings = context.config.section("spark", SparkSettings)
    if (master_of(settings) or "").startswith("local"):
        return
    session = get_session(settings)
    application = session.sparkContext.applicationId
    if application in _checked:
        return
    found = executors_of(session)
    if broken := [str(executor) for executor in found if executor.fault]:
        raise ConfigError("; ".join(broken), REMEDY)
    _checked.add(application)
    log.info(f"{len(found)} executors run Python {PYTHON} with {', '.join(PACKAGES)}")


def executors_of(session: SparkSession) -> list[Executor]:
    """Every executor that has registered, by name."""
    there = _registered(session)
    found: dict[str, Executor] = {}
    for number in range(ROUNDS):
        if set(there) <= set(found):
            break
        found |= {executor.name: executor for executor in _answers(session, f"{GROUP} {number}")}
    labelled(session)
    return sorted(found.values(), key=lambda executor: (executor.host, executor.name))


def _registered(session: SparkSession) -> list[str]:
    """Names of the executors, once their number has stood for SETTLED_SECONDS."""
    store: Any = session.sparkContext._jsc.sc().statusStore()
    deadline, since = time.monotonic() + WAIT_SECONDS, time.monotonic()
    before: list[str] = []
    while time.monotonic() < deadline:
        listed = store.executorList(True)
        now = sorted({str(listed.apply(i).id()) for i in range(listed.size())} - {"driver"})
        if now != before:
            since, before = time.monotonic(), now
        if now and time.monotonic() - since > SETTLED_SECONDS:
            return now
        time.sleep(0.1)
    return before


def _answers(session: SparkSession, group: str) -> list[Executor]:
    """The executors that took a task of this job. The JVM starts the Python, so that one that is no Python answers too."""
    spark = session.sparkContext
    spark.setJobGroup(group, "Asks every executor for its Python and its packages")
    slots = max(2, spark.defaultParallelism)
    command = ["sh", "-c", SHELL, spark.pythonExec, PROBE, *PACKAGES]
    java: Any = spark._jsc
    lines = java.parallelize([str(slot) for slot in range(slots)], slots).pipe(command, {}).glom().collect()
    answers = [list(answer) for answer in lines]
    places = _places(session, group)
    return [Executor(*places[i], _fault(answer)) for i, answer in enumerate(answers) if i in places]


def _places(session: SparkSession, group: str) -> dict[int, tuple[str, str]]:
    """(executor, host) of the task that made each partition."""
    spark = session.sparkContext
    context: Any = spark._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    tracker = spark.statusTracker()
    places: dict[int, tuple[str, str]] = {}
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage in info.stageIds if info else []:
            tasks = context.statusStore().taskList(stage, 0, 10_000)
            for task in (tasks.apply(i) for i in range(tasks.size())):
                if task.status() == "SUCCESS":
                    places[task.index()] = (task.executorId(), task.host())
    return places


def _fault(answer: list[str]) -> str:
    try:
        facts: dict[str, Any] = json.loads(answer[-1])
    except (ValueError, IndexError):
        return f"has no Python that starts: {' '.join(answer[-2:])[:300] or 'no output'}"
    faults = [] if facts["python"] == PYTHON else [f"has Python {facts['python']}, the driver has {PYTHON}"]
    faults += [f"lacks {', '.join(facts['missing'])}"] if facts["missing"] else []
    return " and ".join(faults)


def main(file: str) -> int:
    """For `nightrank doctor --cluster`: a tiny application, whose answer is in `file` as JSON when it ends with 0."""
    with exit_codes() as outcome:
        given = Configuration.from_run({"spark": json.loads(os.environ.pop(SPARK_SETTINGS))})
        session = get_session(given.section("spark", SparkSettings), "nightrank doctor")
        found = executors_of(session)
        body = {"master": session.sparkContext.master, "python": PYTHON, "packages": PACKAGES, "remedy": REMEDY}
        listed = [{"name": each.name, "host": each.host, "fault": each.fault} for each in found]
        session.stop()
        write_json(Path(file), {**body, "executors": listed})
    return outcome[0]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
