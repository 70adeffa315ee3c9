"""What is installed from a wheel works without the checkout: configurations, templates, stages and commands are in it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nightrank.pipeline.stages import STAGES
from scripts.package.wheel import build_wheel, zip_beside
from tests.architecture.tree import ROOT, tracked_files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of what git tracks."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(installed: Path, *command: str) -> str:
    """Runs Python outside the checkout, with the wheel's content first on its path."""
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *command], cwd=installed.parent, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_a_wheel_holds_every_configuration_template_and_the_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = {path.relative_to(ROOT).as_posix() for path in tracked_files()}
    rooms = ("conf/", "feature_store/", "ranker/", "spark_jobs/", "trainer/", "pipeline/")
    wanted = {
        f"nightrank/{name}" for name in tracked if name.startswith(rooms) and not name.endswith((".cpp", ".hpp", ".java"))
    }
    assert wanted - names == set()
    assert "nightrank/conf/models/ctr/mmoe.yaml" in names and "nightrank/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {
        "nightrank",
        wheel.name.removesuffix(".whl").split("-cp")[0] + ".dist-info",
    }


def test_the_installed_commands_find_the_configurations_that_came_with_them(installed: Path) -> None:
    version = run(installed, "-m", "nightrank.pipeline.cli", "--version")
    assert version == "nightrank 0.1.0 (commit unknown: not a checkout)\n"
    shown = run(
        installed, "-m", "nightrank.pipeline.cli", "config", "--config", "amazon-games", "--config", "models/gru", "--show"
    )
    assert "name: gru" in shown


def test_every_spark_stage_is_found_by_its_name_in_what_is_installed(installed: Path) -> None:
    names = [stage.name for stage in STAGES if stage.engine == "spark"]
    program = (
        "import sys\nfrom nightrank.spark_jobs.driver.host import function_of\n"
        "print(all(function_of(name).__module__ == f'nightrank.spark_jobs.{name}' for name in sys.argv[1:]))"
    )
    assert run(installed, "-c", program, *names) == "True\n"


def test_the_zip_beside_the_wheel_holds_all_but_compiled_parts_and_imports(wheel: Path, tmp_path: Path) -> None:
    zipped = zip_beside(wheel)
    assert zipped.name == "nightrank-0.1.0.zip"
    left_out = set(zipfile.ZipFile(wheel).namelist()) - set(zipfile.ZipFile(zipped).namelist())
    assert {Path(name).suffix or Path(name).name for name in left_out} == {".so", "RECORD", "WHEEL"}
    program = (
        "import nightrank.spark_jobs.executor.score as s, importlib.metadata as m; print(m.version('nightrank'), s.__file__)"
    )
    assert run(zipped, "-c", program).strip() == f"0.1.0 {zipped}/nightrank/spark_jobs/executor/score.py"


def test_a_wheel_holds_the_log_store_that_was_compiled(wheel: Path) -> None:
    name = "feature_store/object_storage/log_store.jar"
    assert (f"nightrank/{name}" in zipfile.ZipFile(wheel).namelist()) is (ROOT / name).exists()
