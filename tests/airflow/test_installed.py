"""Airflow's environment gets the wheel alone, without the packages that nightrank needs, and the DAG parses from it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nightrank.pipeline.dag.tasks import task_plans
from tests.airflow.conftest import MAIN_PYTHON, ROOT, Airflow

UV = ROOT / ".build" / "tools" / "bin" / "uv"
BUILD = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
PARSE = "import nightrank; from nightrank.pipeline.airflow_dag import dag; print(nightrank.__file__, len(dag.tasks))"


@pytest.mark.timeout(900)
def test_the_wheel_installs_without_dependencies_and_holds_the_dag(airflow: Airflow, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name, follow_symlinks=False)
    built = subprocess.run([str(MAIN_PYTHON), "-c", BUILD, str(tmp_path)], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    wheel, site = next(tmp_path.glob("nightrank-*.whl")), tmp_path / "site"
    install = [str(UV), "pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True)
    parsed = subprocess.run(
        [sys.executable, "-c", PARSE],
        cwd=tmp_path, env={**airflow.environment, "PYTHONPATH": str(site)}, capture_output=True, text=True,
    )  # fmt: skip
    assert parsed.returncode == 0, parsed.stderr
    file, tasks = parsed.stdout.splitlines()[-1].split()
    assert Path(file).is_relative_to(site) and int(tasks) == len(task_plans()) + len(("landed", "open", "complete", "close"))
