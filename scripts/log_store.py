"""The jar with Delta's log store for S3: `python -m scripts.log_store JARS` compiles it against the jars listed.

The same sources give the same bytes: entries have one date, and javac is asked for one release.
"""

import argparse
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyspark

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = ROOT / "feature_store" / "object_storage" / "java"
JAR: Final = SOURCES.with_name("log_store.jar")
DATE: Final = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts.log_store", description="Compiles Delta's log store for S3.")
    parser.add_argument("jars", help="Delta's, Hadoop's S3A and the SDK's, separated by commas; Spark's own are added")
    parser.add_argument("--out", type=Path, default=JAR, help=f"default: {JAR.relative_to(ROOT)}")
    options = parser.parse_args()
    build([Path(jar) for jar in options.jars.split(",") if jar], options.out)


def build(jars: Sequence[Path], target: Path) -> Path:
    """The jar is at `target`, as a whole. SystemExit without a JDK, or where the source does not compile against these jars."""
    javac = shutil.which("javac")
    if javac is None:
        raise SystemExit("log_store: there is no javac: install a JDK 17 (on Debian or Ubuntu: openjdk-17-jdk-headless)")
    with tempfile.TemporaryDirectory(prefix="nightrank-") as scratch:
        classes = Path(scratch) / "classes"
        of_spark = Path(pyspark.__file__).with_name("jars") / "*"
        command = [javac, "--release", "17", "-Xlint:all,-path", "-Werror", "-g:source,lines", "-d", str(classes)]
        command += ["-classpath", ":".join([*map(str, jars), str(of_spark)]), *map(str, sorted(SOURCES.rglob("*.java")))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"log_store: javac ended with {done.returncode}:\n{done.stderr[-4000:]}")
        draft = target.with_name(f".{target.name}.tmp")
        _pack(classes, draft)
        draft.replace(target)
    return target


def _pack(classes: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w") as jar:
        for path in sorted(classes.rglob("*.class")):
            jar.writestr(zipfile.ZipInfo(path.relative_to(classes).as_posix(), DATE), path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
