"""A whole Airflow as processes: API server, DAG processor and scheduler, on SQLite and one core."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.airflow.conftest import Airflow

SERVICES: Final = (("api-server", "--workers", "1"), ("dag-processor",), ("scheduler",))
PATIENCE_SECONDS: Final = 900.0


class Services:
    """Running from `start` to `stop`. What the scheduler did is read from its database."""

    def __init__(self, airflow: Airflow) -> None:
        self.airflow = airflow
        self.processes: list[subprocess.Popen[bytes]] = []
        port = _free_port()
        airflow.variables |= {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow.folder / 'airflow.db'}?timeout=60",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__SECRET_KEY": "for-tests-alone",
            "AIRFLOW__API_AUTH__JWT_SECRET": "for-tests-alone-and-long-enough-for-a-signature-of-sixty-four-bytes-or-more",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        }

    def start(self, *more: str) -> None:
        """`more`: services beside those that every DAG needs."""
        for words in (*SERVICES, *((name,) for name in more)):
            log = open(self.airflow.folder / f"{words[0]}.out", "ab")  # noqa: SIM115  (the process keeps it)
            self.processes.append(
                subprocess.Popen(
                    [str(Path(sys.executable).parent / "airflow"), *words],
                    env=self.airflow.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes:
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    continue
            until = time.monotonic() + 20
            while any(process.poll() is None for process in self.processes) and time.monotonic() < until:
                time.sleep(0.2)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.airflow.folder / 'airflow.db'}?mode=ro", uri=True, timeout=30) as database:
            return list(database.execute(query, values))

    def until(self, happened: Callable[[], Any], what: str) -> Any:
        """What `happened` returns, once that is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if found := happened():
                return found
            assert all(process.poll() is None for process in self.processes), "a service of Airflow has ended"
            time.sleep(0.5)
        raise AssertionError(f"{what} did not happen: {self.runs()}\n{self.states()}")

    def runs(self) -> list[tuple[str, str, str]]:
        """(day, type, state) of each DAG run, in the order of their days."""
        query = "SELECT substr(logical_date, 1, 10), run_type, state FROM dag_run ORDER BY logical_date"
        return [(str(day), str(kind), str(state)) for day, kind, state in self.rows(query)]

    def states(self) -> dict[tuple[str, str], str]:
        """State of each task, by (day, task)."""
        query = (
            "SELECT substr(r.logical_date, 1, 10), t.task_id, t.state, t.try_number FROM task_instance t "
            "JOIN dag_run r ON r.run_id = t.run_id AND r.dag_id = t.dag_id"
        )
        return {(str(day), str(task)): str(state) for day, task, state, _ in self.rows(query)}

    def tries(self, day: str, task: str) -> int:
        query = (
            "SELECT t.try_number FROM task_instance t JOIN dag_run r ON r.run_id = t.run_id "
            "WHERE r.logical_date LIKE ? AND t.task_id = ?"
        )
        return int(self.rows(query, f"{day}%", task)[0][0])


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
