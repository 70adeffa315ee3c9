"""Exit codes as Airflow's exceptions, and a command as a process that ends with its task."""

import os
import signal
import sys
import threading
import time
from datetime import date
from pathlib import Path

import psutil
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout

from nightrank.pipeline.dag.command import Command
from nightrank.pipeline.dag.dates import RunDate
from nightrank.pipeline.dag.operators import CloseRun
from nightrank.pipeline.dag.outcomes import raise_for

ERROR = {"error": {"code": "x", "message": "no hub", "remedy": "later"}}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (3, AirflowSkipException),
        *((code, AirflowFailException) for code in (2, 4, 7, 9)),
        *((code, AirflowException) for code in (1, 5, 6, 8, 130, 143, -9)),
    ],
)
def test_each_exit_code_has_its_exception_with_message_and_remedy(code: int, kind: type[AirflowException]) -> None:
    with pytest.raises(AirflowException, match="no hub; later") as caught:
        raise_for(code, ERROR)
    assert type(caught.value) is kind


def test_success_is_no_exception_and_silence_is_explained() -> None:
    raise_for(0, {"error": None})
    with pytest.raises(AirflowFailException, match="a file or table breaks its contract"):
        raise_for(4, {})


def python(folder: Path, body: str) -> str:
    """A program in the place of a Python: `body` in the shell."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_lines_are_relayed_and_the_answer_is_read(tmp_path: Path) -> None:
    command = Command(python(tmp_path, """echo one >&2; echo "$@" >&2; echo '{"run_id": "r"}'; exit 8"""), ["run", "open"])
    lines: list[str] = []
    answer = command.wait(lines.append)
    assert lines == ["one", "-P -m nightrank.pipeline.cli run open --json"]
    assert (answer.code, answer.body) == (8, {"run_id": "r"})


def test_a_command_that_prints_no_object_has_an_empty_answer(tmp_path: Path) -> None:
    assert Command(python(tmp_path, "echo [1]; exit 1"), []).wait(print).body == {}


def test_airflows_own_settings_do_not_reach_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "hidden")
    monkeypatch.setenv("AIRFLOW_CONN_SECRET", "hidden")
    monkeypatch.setenv("S3_REGION", "shown")
    lines: list[str] = []
    Command(python(tmp_path, "env >&2"), [], {"MORE": "1"}).wait(lines.append)
    assert {"S3_REGION=shown", "MORE=1"} <= set(lines) and not any("hidden" in line for line in lines)


def test_the_process_group_ends_with_the_command(tmp_path: Path) -> None:
    """Also what does not listen: a child of the command that ignores SIGTERM."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    stubborn = f"""{sys.executable} -c "{deaf}" >&2 &\necho $! > {tmp_path}/pid; wait"""
    command = Command(python(tmp_path, stubborn), [])
    lines: list[str] = []
    waiting = threading.Thread(target=command.wait, args=(lines.append,))
    waiting.start()
    until = time.monotonic() + 60
    while lines != ["up"] and time.monotonic() < until:
        time.sleep(0.05)
    command.end()
    waiting.join(60)
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 60
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    with pytest.raises(ProcessLookupError):
        os.kill(command.pid, signal.SIGCONT)


def test_a_task_that_takes_too_long_says_what_it_was_at(tmp_path: Path) -> None:
    task = CloseRun(task_id="t", root="lake", python=python(tmp_path, "echo 'train: epoch 3 of 9' >&2; sleep 600"))
    expected = r"`nightrank run stage train` has taken longer .* its last line: train: epoch 3 of 9"
    with pytest.raises(AirflowTaskTimeout, match=expected), timeout(5):
        task.command({}, "run", "stage", "train", when=RunDate(date(2024, 1, 2), "a test"))
    assert task.running is None
