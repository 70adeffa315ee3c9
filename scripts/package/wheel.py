"""The wheel, built from a copy of what git tracks, and the zip of its pure Python parts for `spark-submit --py-files`."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from scripts.log_store import JAR as LOG_STORE

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"


def build_wheel(folder: Path) -> Path:
    """The wheel in `folder`. What lies about in the checkout, or is left of an earlier build, is not in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nightrank-") as scratch:
        copy = Path(scratch)
        _copy_tracked(copy)
        if LOG_STORE.exists():  # compiled by `make setup`, against jars that a build does not fetch
            shutil.copy(LOG_STORE, copy / LOG_STORE.relative_to(ROOT))
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(folder.resolve())], cwd=copy, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise SystemExit(f"package: the wheel was not built:\n{done.stderr[-4000:]}")
    return folder / done.stdout.strip().splitlines()[-1]


def _copy_tracked(copy: Path) -> None:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_dir():  # a link to a room
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def zip_beside(wheel: Path) -> Path:
    """`<name>-<version>.zip` beside the wheel: PySpark takes a .zip and no .whl. Compiled parts cannot load from it."""
    path = wheel.with_name("-".join(wheel.name.split("-")[:2]) + ".zip")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith((".so", "/RECORD", "/WHEEL")):
                target.writestr(entry, source.read(entry))
    return path
