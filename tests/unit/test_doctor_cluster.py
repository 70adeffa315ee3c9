"""What `doctor --cluster` says of each answer of a cluster. The real one is asked in tests/cluster."""

import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store.contracts.secret_settings import SPARK_SETTINGS
from nightrank.feature_store.contracts.settings import DataSettings, SparkSettings
from nightrank.pipeline.doctor.cluster import check_cluster
from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine, Output
from nightrank.spark_jobs.driver.executors import PACKAGES, PROBE, PYTHON, SHELL, _fault

CANARY = "canary-4711-value"


def checked(answer: Output, master: str | None = "yarn", seen: dict[str, Any] | None = None) -> list[Finding]:
    def run(command: Sequence[str], environ: Mapping[str, str]) -> Output:
        if seen is not None:
            seen.update(command=list(command), environ=dict(environ))
        if answer.out:
            Path(command[-1]).write_text(answer.out)
        return answer

    machine = Machine(environ={"A": "b"}, home=Path("/nowhere"), run_on_cluster=run)
    extra = {"spark.hadoop.fs.s3a.secret.key": CANARY}
    return check_cluster(machine, DataSettings(spark=SparkSettings(master=master, extra=extra)))


def answered(*executors: tuple[str, str, str]) -> Output:
    listed = [{"name": name, "host": host, "fault": fault} for name, host, fault in executors]
    body = {"master": "yarn", "python": "3.11", "packages": PACKAGES, "remedy": "do", "executors": listed}
    return Output(0, json.dumps(body), "")


def test_every_broken_executor_is_a_finding_with_its_name():
    found = checked(answered(("0", "a", ""), ("1", "b", "lacks pyarrow"), ("2", "c", "has Python 3.9, the driver has 3.11")))
    assert [finding.status for finding in found] == ["fail", "fail"]
    assert found[0].seen == "executor 1 on b lacks pyarrow" and "executor 2 on c has Python 3.9" in found[1].seen


def test_a_whole_cluster_is_one_finding_and_its_secrets_are_no_argument():
    seen: dict[str, Any] = {}
    (finding,) = checked(answered(("0", "a", ""), ("1", "b", "")), seen=seen)
    assert finding.status == "ok" and finding.seen.startswith("2 on a, b: Python 3.11 with pyarrow")
    assert CANARY not in " ".join(seen["command"])
    assert json.loads(seen["environ"][SPARK_SETTINGS])["extra"] == {"spark.hadoop.fs.s3a.secret.key": CANARY}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answered(), "gave no executor"),
        (Output(1, "", "first\nboom\n"), "no application starts on yarn: boom"),
        (Output(None, "", ""), "no application starts on yarn: no output"),
    ],
)
def test_a_cluster_that_gives_nothing_fails(answer, words):
    (finding,) = checked(answer)
    assert finding.status == "fail" and words in finding.seen and finding.remedy


def test_a_local_master_is_no_cluster():
    (finding,) = checked(answered(), "local[2]")
    assert finding.status == "warn" and "local[2]" in finding.seen


def test_a_standalone_master_that_does_not_answer_is_named_without_starting_anything():
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        seen: dict[str, Any] = {}
        (finding,) = checked(answered(), f"spark://{address}", seen)
        assert finding.status == "fail" and f"{address} does not answer" in finding.seen and seen == {}
        unheard.listen()
        assert checked(answered(("0", "a", "")), f"spark://127.0.0.1:1,{address}", seen)[0].status == "ok"


def fault_of(python: str, *packages: str) -> str:
    """What is said of a Python that the program asks as it does on an executor."""
    command = ["sh", "-c", SHELL, python, PROBE, *packages]
    done = subprocess.run(command, input="0\n", capture_output=True, text=True, timeout=60, check=True)
    return _fault(done.stdout.splitlines())


def test_a_python_is_asked_for_its_packages_and_whether_it_starts(tmp_path):
    assert fault_of(sys.executable, *PACKAGES) == ""
    assert fault_of(sys.executable, "numpy", "no_such_package", "nor_this") == "lacks no_such_package, nor_this"
    assert "has no Python that starts" in fault_of(str(tmp_path / "python")) and "127" in fault_of(str(tmp_path / "python"))
    other = tmp_path / "other"
    other.write_text('#!/bin/sh\necho \'{"python": "3.9", "missing": []}\'\n')
    other.chmod(0o755)
    assert fault_of(str(other)) == f"has Python 3.9, the driver has {PYTHON}"
