"""`spark-submit --py-files` in a bare folder: workers import nightrank from the zip, and a wheel is refused before any job."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from nightrank.feature_store.contracts.lake import Lake
from scripts.package.wheel import build_wheel, zip_beside
from tests.spark.conftest import DAY, at, land

pytestmark = pytest.mark.spark

WORKERS = """
from pyspark.sql import SparkSession

def place(_):
    import nightrank.spark_jobs.executor.score as score
    import nightrank.spark_jobs.executor.encode, nightrank.spark_jobs.executor.baselines, nightrank.ranker.bundle.bundle
    yield score.__file__

session = SparkSession.builder.getOrCreate()
print("PLACES", *set(session.sparkContext.parallelize(range(2), 2).mapPartitions(place).collect()))
"""
INGEST = """
import sys
from nightrank.spark_jobs.driver.submit import main
from nightrank.spark_jobs.ingest_events import NAME, run
sys.exit(main(NAME, run))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    wheel = build_wheel(tmp_path_factory.mktemp("dist"))
    return wheel, zip_beside(wheel)


def submit(cwd: Path, py_files: Path, job: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In `cwd`, with nothing of the checkout on PYTHONPATH."""
    (cwd / "job.py").write_text(job)
    spark_home = Path(pyspark.__file__).parent
    environ = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYSPARK_SUBMIT_ARGS")}
    environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [str(spark_home / "bin" / "spark-submit"), "--master", "local[2]", "--conf", "spark.ui.enabled=false"]
    return subprocess.run(
        [*command, "--py-files", str(py_files), "job.py", *arguments],
        cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


def test_python_workers_import_the_executors_parts_from_the_zip(built: tuple[Path, Path], tmp_path: Path) -> None:
    done = submit(tmp_path, built[1], WORKERS)
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PLACES")]
    (place,) = line.split()[1:]
    assert place.endswith("nightrank-0.1.0.zip/nightrank/spark_jobs/executor/score.py")


def test_a_wheel_in_py_files_ends_with_2_and_names_the_zip(built: tuple[Path, Path], tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    event = {"user_id": "u1", "item_id": "a", "action": "view", "event_time": at(f"{DAY} 10:00")}
    land(lake, "events", DAY, [event])
    wheel = Path(shutil.copy(built[0], tmp_path))
    done = submit(tmp_path, wheel, INGEST, "--root", str(lake.root), "--date", str(DAY))
    assert done.returncode == 2, done.stderr[-4000:]
    assert "--py-files nightrank-0.1.0.zip" in done.stdout + done.stderr, done.stdout
    assert not (lake.root / "tables").exists()
