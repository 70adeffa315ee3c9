"""An Airflow of its own for the tests: home, database, DAGs folder. Run by `make test-airflow` in Airflow's environment."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN_PYTHON = Path(os.environ.get("NIGHTRANK_MAIN_PYTHON", ROOT / ".venv" / "bin" / "python"))
"""The Python of the main environment, where nightrank's own packages are."""
collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["test_*.py"]

DAG_FILE = """
from nightrank.pipeline.dag.nights import night_dag  # a DAG for Airflow
from nightrank.pipeline.stages import STAGES
from airflow.sdk import CronDataIntervalTimetable
from datetime import date, timedelta
{before}
dag = night_dag({arguments})
"""
FAST = "default_args=dict(retry_delay=timedelta(seconds=1), max_retry_delay=timedelta(seconds=2))"


@dataclass
class Airflow:
    """An installation below `folder`, with one DAG named `dag`."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of it."""
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW", "NIGHTRANK_"))
        }
        return {
            **clean,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "PYTHONPATH": str(ROOT),
            **self.variables,
        }

    def write_dag(self, arguments: str = "", before: str = "") -> None:
        (self.folder / "dags").mkdir(parents=True, exist_ok=True)
        (self.folder / "dags" / "nights.py").write_text(
            DAG_FILE.format(before=before, arguments=", ".join(filter(None, [arguments, FAST])))
        )

    def command(self, *words: str, expect: int | None = 0) -> str:
        """Output of `airflow WORDS`."""
        command = [str(Path(sys.executable).parent / "airflow"), *words]
        for _ in range(5):  # SQLite lets one process write at a time, and tells the other at once where it had read before
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
            if "database is locked" not in done.stderr:
                break
        assert expect is None or done.returncode == expect, f"{words}: {done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def test_run(self, day: str | None = None, **params: Any) -> dict[str, Any]:
        """A DAG run in one process, by `dag.test()`: its state, its tasks' states, hand-overs and asset events."""
        arguments = json.dumps({"day": day, "params": params})
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "airflow" / "programs" / "dag_test.py"), arguments],
            env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-9000:]}\n{done.stderr[-9000:]}"
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        answer["log"] = done.stdout + done.stderr
        return answer


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of Airflow."""
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    airflow.command("db", "migrate")
    return airflow.folder / "airflow.db"


@pytest.fixture
def airflow(tmp_path: Path, migrated: Path) -> Airflow:
    """An Airflow with the default DAG, an empty history, and a nightrank whose stages do next to nothing."""
    made = Airflow(tmp_path / "airflow")
    made.write_dag()
    (made.folder / "airflow.db").write_bytes(migrated.read_bytes())
    return made


@dataclass(frozen=True)
class Shop:
    """A lake with landing files, and a `nightrank` for it with fake stages."""

    airflow: Airflow
    root: Path
    fakes: Path
    days: list[str]

    def stage(self, name: str, body: str) -> None:
        """The one statement of a fake stage."""
        bodies = json.loads((self.fakes / "stages.json").read_text())
        (self.fakes / "stages.json").write_text(json.dumps({**bodies, name: body}))

    def only(self, names: tuple[str, ...]) -> None:
        """The list has these stages alone."""
        bodies = json.loads((self.fakes / "stages.json").read_text())
        (self.fakes / "stages.json").write_text(json.dumps({**bodies, "only": names}))

    def nightrank(self, *words: str) -> None:
        """A command by hand."""
        command = [str(self.fakes / "python"), "-P", "-m", "nightrank.pipeline.cli", *words, "--root", str(self.root)]
        done = subprocess.run(command, env=self.airflow.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def trace(self) -> list[str]:
        """Stages that were entered, as `stage run_id`."""
        path = self.root / "trace"
        return [" ".join(line.split()[:2]) for line in path.read_text().splitlines()] if path.exists() else []

    def result(self, run_id: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((self.root / "runs" / run_id / "result.json").read_text())
        return body

    def lease(self) -> dict[str, Any]:
        """The lease's record."""
        return main(f"from nightrank.feature_store.contracts import lease_record as r, lake\n"
                    f"print(json.dumps(r.read(lake.Lake(Path({str(self.root)!r})))[0].__dict__, default=str))")  # fmt: skip


@pytest.fixture
def shop(airflow: Airflow, tmp_path: Path) -> Shop:
    """Three landed days, and a champion by a finished full run of the first."""
    root, fakes = tmp_path / "lake", tmp_path / "fakes"
    fakes.mkdir()
    (fakes / "stages.json").write_text("{}")
    python = fakes / "python"
    program = ROOT / "tests" / "airflow" / "programs" / "fake_nightrank.py"
    python.write_text(
        f'#!/bin/sh\nexport NIGHTRANK_FAKES={fakes} PYTHONPATH={fakes}:{ROOT}\nexec {MAIN_PYTHON} {program} "$@"\n'
    )
    python.chmod(0o755)
    main(f"from tests.unit.pipeline_fakes import landed_lake\nlanded_lake(Path({str(root)!r}), 5)\nprint('{{}}')")
    airflow.variables |= {"AIRFLOW_VAR_NIGHTRANK_ROOT": str(root), "AIRFLOW_VAR_NIGHTRANK_PYTHON": str(python)}
    first = date(2024, 1, 1)
    return Shop(airflow, root, fakes, [str(first + timedelta(days=number)) for number in range(5)])


def main(program: str) -> Any:
    """The JSON that a program of the main environment prints."""
    done = subprocess.run(
        [str(MAIN_PYTHON), "-c", f"import json\nfrom pathlib import Path\n{program}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
