"""A logged line says its time, run and stage once, whoever started the process, and holds no secret."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nightrank.feature_store.contracts import logs
from nightrank.feature_store.contracts.logs import RUN_DIR, file_log, log, whole_line, within, words_of
from nightrank.feature_store.contracts.redaction import Redactor
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.stage import load_context
from nightrank.pipeline.runner import Runner
from tests.unit.pipeline_fakes import landed_lake, request_for, write_stage

CANARY = "canary-4711-value"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_a_process_that_was_started_alone_says_run_and_stage_itself(capsys, monkeypatch):
    monkeypatch.delenv(RUN_DIR, raising=False)
    with within("full-2024-01-01", "train", rank=1):
        log.info("epoch 3")
    log.info("after it")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"{TIME} full-2024-01-01 train rank-1 \| epoch 3", first)
    assert re.fullmatch(rf"{TIME} \| after it", second)
    assert (words_of(first), words_of(second), words_of("a | b")) == ("epoch 3", "after it", "a | b")


def test_under_a_runner_it_says_the_words_alone(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv(RUN_DIR, str(tmp_path))
    with within("full-2024-01-01", "train"):
        log.info("epoch 3")
    assert capsys.readouterr().err == "epoch 3\n"


def test_a_process_hides_the_secrets_it_knows():
    program = "from nightrank.feature_store.contracts.logs import log; log.info('v canary-4711-value http://u:p@h/ w')"
    environment = {"MY_TOKEN": CANARY, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert words_of(done.stderr) == "v *** http://h/ w\n"


def test_the_hiding_is_a_processor_of_structlog():
    hide = logs.Hide(lambda: Redactor((CANARY,)))
    assert hide(None, "info", {"event": f"a {CANARY}", "run": "r", "n": 3}) == {"event": "a ***", "run": "r", "n": 3}
    assert whole_line(None, "info", {"event": "e", "timestamp": "T", "run": "r", "stage": "s"}) == "T r s | e"


def test_a_filed_line_is_free_of_secrets(tmp_path: Path):
    with open(tmp_path / "log", "w") as file:
        file_log(file, "r", "s", Redactor((CANARY,))).info(f"key {CANARY}")
    assert re.fullmatch(rf"{TIME} r s \| key \*\*\*\n", (tmp_path / "log").read_text())


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "modules"
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{':'.join(sys.path)}")
    monkeypatch.delenv(RUN_DIR, raising=False)
    return folder


def test_every_line_of_a_run_s_logs_names_run_and_stage_and_a_stage_gets_what_the_folder_does_not_keep(tmp_path, modules):
    lake = landed_lake(tmp_path / "lake")
    says = "print('value', (found := context.config.tree['spark']['extra']['a.b']), len(found), file=sys.stderr)"
    stages = (write_stage(modules, "one", says),)
    request = request_for(
        lake, spark={"master": "local[1]", "extra": {"a.b": CANARY}}, mlflow={"tracking_uri": f"http://u:{CANARY}@h"}
    )
    result = Runner(stages=stages, finish=()).run(request)
    assert result["status"] == "done"
    folder = lake.run_dir("full-2024-01-01")
    lines = (folder / "logs" / "one.log").read_text().splitlines()
    assert all(re.match(rf"{TIME} full-2024-01-01 one \| ", line) for line in lines)
    assert f"value *** {len(CANARY)}" in [words_of(line) for line in lines]
    assert [path for path in lake.root.path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()] == []
    assert load_context(folder).config.section("spark", SparkSettings).extra == {"a.b": "***"}
