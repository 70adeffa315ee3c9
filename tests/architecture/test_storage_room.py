"""One room reads and writes a lake (`contracts/storage`). Elsewhere a disk is used as a disk, for what is listed here."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("feature_store", "spark_jobs", "trainer", "ranker", "pipeline")
STORAGE = "feature_store/contracts/storage/"
CALLS = {"replace", "rename", "link", "remove", "unlink", "makedirs", "listdir", "scandir", "open", "rmdir"}
LIBRARIES = {"shutil", "fcntl"}
HERE = {
    "feature_store/contracts/failpoints.py": "a test's own file",
    "feature_store/contracts/files.py": "what the disk's store is made of",
    "feature_store/contracts/lake_lock.py": "the kernel's lock of a lake on a disk",
    "feature_store/live_runs.py": "the kernel's lock of a search on this machine",
    "feature_store/spark_properties.py": "a private file for one spark-submit",
    "pipeline/cli.py": "stdout, where its reader has gone",
    "pipeline/doctor/places.py": "free disk of this machine",
    "pipeline/doctor/python_env.py": "programs of this machine",
    "pipeline/ending.py": "a log on its way into the lake",
    "pipeline/horovod_build/build.py": "a build of this machine",
    "pipeline/lists/export.py": "a file for other programs, on this machine",
    "pipeline/lists/exported.py": "the same files, without an erased user",
    "pipeline/run/attempt.py": "a log on its way into the lake",
    "pipeline/run/faults.py": "a log on its way into the lake",
    "pipeline/run/steps.py": "programs of this machine",
    "pipeline/tune/search.py": "a search's log and lock on this machine",
    "ranker/bundle/store.py": "a bundle on its way into the lake",
    "spark_jobs/scoring/champion.py": "a download on its way to executors",
    "spark_jobs/sources/dialect.py": "the user's own file",
    "spark_jobs/sources/landing.py": "parts on their way into the lake",
    "spark_jobs/sources/movielens.py": "the user's own file",
    "trainer/launch/environment.py": "a private file for workers of this machine",
    "trainer/ranks/watchdog.py": "a file descriptor for stacks",
    "trainer/tracking/logged_model.py": "code on its way to MLflow",
    "trainer/tracking/tracker.py": "the lock of MLflow's SQLite file",
    "trainer/tune/study.py": "Optuna's journal on this machine",
}
"""Modules that use a disk as a disk, and for what."""


def uses_a_disk(file: Path) -> bool:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import) and LIBRARIES & {name.name for name in node.names}:
            return True
        if isinstance(node, ast.ImportFrom) and node.module in LIBRARIES:
            return True
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                return True
            of_os = isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "os"
            if of_os and called.attr in CALLS:
                return True
    return False


def test_no_other_module_opens_renames_or_locks_files():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    names = {str(path.relative_to(ROOT)): path for path in files}
    own = {name: path for name, path in names.items() if not name.startswith(STORAGE)}
    assert {name for name, path in own.items() if uses_a_disk(path)} == set(HERE)
