"""Secrets planted where people keep them are found nowhere: not in what a night leaves, not in what is said, not in `ps`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nightrank.feature_store.contracts.secret_settings import VARIABLE
from nightrank.feature_store.contracts.stage import RUN_DIR
from tests.command_lines import watched_command_lines
from tests.e2e.conftest import ReadyLake

pytestmark = [pytest.mark.e2e, pytest.mark.night, pytest.mark.timeout(900)]
CANARY = "canary4711"
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}-aws",
    "MLFLOW_TRACKING_TOKEN": f"{CANARY}-mlflow",
    "HF_TOKEN": f"{CANARY}-hub",
    "SOME_DATABASE": f"postgresql://me:{CANARY}-database@db.invalid/x",
    "PLAINLY_NAMED": f"{CANARY}-plain",
    "HTTPS_PROXY": f"http://me:{CANARY}-proxy@127.0.0.1:9",
}
EXTRA = {
    "spark.hadoop.fs.s3a.secret.key": f"{CANARY}-s3",
    "spark.hadoop.plainly.named": f"{CANARY}-extra",
    "spark.hadoop.some.address": f"redis://:{CANARY}-redis@cache.invalid:6379/0",
}


def nightrank(*arguments: str, lake: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in (RUN_DIR, VARIABLE)}
    environment = {**clean, **ENVIRONMENT, "TMPDIR": str(temporary)}
    root = () if arguments[0] == "config" else ("--root", str(lake))
    command = [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, *root]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=850, check=False)


def found_in(*folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if CANARY.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conf") / "secret.yaml"
    path.write_text(yaml.safe_dump({"spark": {"extra": EXTRA}, "trainer": {"environment": ["AWS_*", "PLAINLY_NAMED"]}}))
    return path


def test_a_night_leaves_and_shows_no_secret(tmp_path: Path, config: Path, after_full: ReadyLake) -> None:
    lake, temporary = after_full.copy(tmp_path).root.path, tmp_path / "tmp"
    night = ("nightly", "--date", str(after_full.days[-3]), "--config", "tiny", "--config", str(config))
    temporary.mkdir()
    with watched_command_lines(CANARY) as shown:
        done = [
            nightrank("simulate", "--preset", "tiny", lake=tmp_path / "market", temporary=temporary),
            nightrank(*night, lake=lake, temporary=temporary),
            nightrank(*night, "--json", lake=lake, temporary=temporary),
            nightrank("doctor", "--config", str(config), lake=lake, temporary=temporary),
            nightrank("verify", lake=lake, temporary=temporary),
        ]
    assert done[1].returncode in (0, 7), done[1].stdout[-2000:] + done[1].stderr[-4000:]
    assert done[4].returncode == 0, done[4].stdout
    assert shown == set()
    assert found_in(tmp_path) == []
    assert [one.args for one in done if CANARY in one.stdout + one.stderr] == []
    assert list((lake / "runs").glob("*/run.json")) and (lake / "mlflow" / "mlflow.db").exists()


def test_an_address_that_does_not_answer_is_named_without_its_password(tmp_path: Path, config: Path) -> None:
    lake, temporary = tmp_path / "lake", tmp_path / "tmp"
    temporary.mkdir()
    address = tmp_path / "address.yaml"
    address.write_text(yaml.safe_dump({"mlflow": {"tracking_uri": f"http://me:{CANARY}@127.0.0.1:9", "timeout_seconds": 1}}))
    done = [
        nightrank("simulate", "--preset", "tiny", lake=lake, temporary=temporary),
        nightrank("doctor", "--config", str(address), lake=lake, temporary=temporary),
        nightrank("config", "--show", "--config", str(address), "--config", str(config), lake=lake, temporary=temporary),
    ]
    assert "http://127.0.0.1:9 does not answer" in done[1].stdout
    assert [one.args for one in done if CANARY in one.stdout + one.stderr] == []
