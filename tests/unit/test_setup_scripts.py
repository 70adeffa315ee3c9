"""What a machine lacks is named with the line that installs it; a set-up that stands costs nothing."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOG_STORE = "feature_store/object_storage/log_store.jar"
COMPILED = ("_native.here.so", "_parquet.here.so")
SHELL_TOOLS = ("bash", "sh", "env", "grep", "head", "sort", "xargs", "sed", "dirname", "cat", "make", "echo", "printf")


def fake(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path):
    """A PATH with the shell's own tools, a Python, a JDK and a compiler that say they are fine."""
    for tool in SHELL_TOOLS:
        for place in ("/usr/bin", "/bin"):
            if Path(place, tool).exists():
                (tmp_path / tool).symlink_to(Path(place, tool))
                break
    fake(tmp_path, "python3.11", "exit 0")
    fake(tmp_path, "g++", "exit 0")
    modules = (
        'case "$1" in -version) echo \'openjdk version "17.0.1"\' >&2;; *) echo java.base; echo jdk.incubator.vector@17;; esac'
    )
    fake(tmp_path, "java", modules)
    return tmp_path


def prerequisites(path):
    environ = {"PATH": str(path), "HOME": str(path)}
    return subprocess.run(
        ["bash", str(ROOT / "scripts/prerequisites")], env=environ, capture_output=True, text=True, check=False
    )


def test_a_machine_with_everything_prints_its_python(bare):
    done = prerequisites(bare)
    assert (done.returncode, done.stdout.strip()) == (0, str(bare / "python3.11")), done.stderr


@pytest.mark.parametrize(
    ("program", "script", "says", "package"),
    [
        ("java", "exit 127", "JDK 17 (java does not run)", "openjdk-17-jdk-headless"),
        ("java", "echo 'openjdk version \"11.0.2\"' >&2", "11.0.2", "openjdk-17-jdk-headless"),
        (
            "java",
            'case "$1" in -version) echo \'v "17.0.1"\' >&2;; *) echo java.base;; esac',
            "trimmed",
            "openjdk-17-jdk-headless",
        ),
        ("g++", "exit 1", "C++17 compiler", "g++"),
        ("python3.11", 'case "$2" in *ensurepip*) exit 1;; esac', "venv module", "python3.11-venv"),
        ("python3.11", 'case "$2" in *sysconfig*) exit 1;; esac', "Python.h", "python3.11-dev"),
    ],
)
def test_what_is_missing_is_named_with_its_apt_line(bare, program, script, says, package):
    fake(bare, program, script)
    done = prerequisites(bare)
    assert done.returncode == 1 and done.stdout == ""
    assert says in done.stderr and done.stderr.splitlines()[-1].strip() == f"apt-get update && apt-get install -y {package}"


def test_everything_missing_is_named_at_once(bare):
    for program in ("java", "g++"):
        (bare / program).unlink()
    line = prerequisites(bare).stderr.splitlines()[-1]
    assert "g++ openjdk-17-jdk-headless" in line


@pytest.fixture
def stood(tmp_path):
    """(runs the script, its folder): a checkout that says it is set up."""
    folder, source, tiles = tmp_path / "trainer/data", "trainer/data/native/module.cpp", "ranker/retrieval/native/module.cpp"
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for path in (source, tiles):
        (tmp_path / path).parent.mkdir(parents=True)
    shutil.copytree(ROOT / "feature_store/object_storage", tmp_path / "feature_store/object_storage")
    for name in (
        "requirements.lock",
        "requirements-horovod.lock",
        "requirements-tools.lock",
        "pyproject.toml",
        "setup.py",
        source,
        tiles,
    ):
        shutil.copy(ROOT / name, tmp_path / name)

    def setup(*arguments):
        return subprocess.run([tmp_path / "scripts/setup", *arguments], capture_output=True, text=True, check=False, timeout=20)

    before = setup("--status")
    assert before.returncode == 1
    for part in COMPILED:
        (folder / part).touch()
    (tmp_path / LOG_STORE).touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.nightrank-setup").write_text(before.stdout)
    return setup, tmp_path


def test_a_set_up_that_stands_is_recognised_soon_and_only_for_the_same_lock(stood):
    setup, folder = stood
    started = time.monotonic()
    done = setup()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and time.monotonic() - started < 2
    assert sorted(path.name for path in (folder / ".venv").iterdir()) == [".nightrank-setup"]
    with open(folder / "requirements.lock", "a") as lock:
        lock.write("# changed\n")
    assert setup("--status").returncode == 1


def test_a_compiled_part_that_is_gone_or_changed_is_built_again(stood):
    setup, folder = stood
    assert setup("--status").returncode == 0
    for native in ("trainer/data/native", "ranker/retrieval/native"):
        with open(folder / native / "module.cpp", "a") as source:
            source.write("// changed\n")
        assert setup("--status").returncode == 1
        (folder / ".venv/.nightrank-setup").write_text(setup("--status").stdout)
        assert setup("--status").returncode == 0
    for part in COMPILED:
        (folder / "trainer/data" / part).unlink()
        assert setup("--status").returncode == 1
        (folder / "trainer/data" / part).touch()
    assert setup("--status").returncode == 0
    (folder / LOG_STORE).unlink()
    assert setup("--status").returncode == (1 if shutil.which("javac") else 0)


def test_help_names_every_target():
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {line.split()[1] for line in done.stdout.splitlines()}
    wanted = "setup demo test test-unit test-spark test-distributed test-e2e test-slow check bench clean"
    assert set(wanted.split()) <= names
