"""result.json against its JSON Schema, at every end a run can come to."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pipeline_fakes import landed_lake, request_for, write_stage

from nightrank.pipeline import result as results
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.verdict import NAME as VERDICT

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json").read_text())
ISSUE_FIELDS = {
    "schema",
    "run_id",
    "kind",
    "date",
    "status",
    "exit_code",
    "error",
    "commit",
    "config_sha256",
    "seed",
    "versions",
    "machine",
    "stages",
    "counts",
    "snapshot",
    "training",
    "model",
    "metrics",
    "gate",
    "release",
    "report",
}

EXTRAS = {
    "snapshot": {"id": "ab", "path": "snapshots/ab.json", "rows": {"train": 3}, "kind": "full"},
    "training": {
        "backend": "horovod",
        "reader": "petastorm",
        "launcher": "horovodrun",
        "world_size": 2,
        "steps": [3, 3],
        "rows_read": [9, 9],
        "dropped": 0,
        "resumed_from": None,
        "parent_model": None,
    },
    "model": {"name": "nightrank", "version": 1, "manifest_sha256": "cd"},
    "metrics": [
        {
            "recommender": "challenger",
            "split": "test",
            "slice": "all",
            "name": "ndcg",
            "k": 10,
            "value": 0.1,
            "ci": [0.0, 0.2],
            "n": 300,
        },
        {"recommender": "als", "split": "test", "slice": "all", "name": "ndcg", "k": 10, "value": None, "ci": None, "n": 3},
    ],
    "gate": {"decision": "first", "reasons": ["no champion"], "delta": None, "ci": None, "n": 0},
    "release": {"id": "r1", "recommendations_version": 1, "users": 3, "rows": 30, "fallback": {"cold": 1}},
    "report": "runs/full-2024-01-01/report.html",
}


GATE = {
    "challenger": "ab",
    "champion": "cd",
    "question": [],
    "decision": "first",
    "reasons": ["ndcg fell"],
    "delta": -0.1,
    "ci": [-0.2, -0.05],
    "n": 400,
    "challenger_ndcg": 0.2,
    "champion_ndcg": 0.3,
    "nights": 1,
}


def check(result: dict[str, Any]) -> None:
    jsonschema.validate(result, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert result.keys() >= ISSUE_FIELDS


def test_the_schema_is_one_and_asks_for_what_the_issue_names() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["required"]) == ISSUE_FIELDS
    assert SCHEMA["properties"]["schema"]["const"] == results.SCHEMA


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    return tmp_path / "modules"


def test_every_end_of_a_run_fits_the_schema(tmp_path: Path, modules: Path) -> None:
    lake = landed_lake(tmp_path / "lake")
    all_of_it = (write_stage(modules, "work", extra=repr(EXTRAS)),)
    done = Runner(all_of_it, finish=()).run(request_for(lake))
    check(done)
    assert {name: done[name] for name in EXTRAS} == EXTRAS
    check(Runner(all_of_it, finish=()).run(request_for(lake)))
    check(Runner(all_of_it, finish=()).run(request_for(lake, "nightly", date(2025, 1, 1))))
    failing = (write_stage(modules, "one"), write_stage(modules, "two", "1 / 0"), write_stage(modules, "three"))
    failed = Runner(failing, finish=()).run(request_for(lake, "nightly", date(2024, 1, 2)))
    check(failed)
    assert failed["snapshot"] is None and failed["metrics"] == []
    rejected = (write_stage(modules, "no", "raise errors.GateRejected('worse', 'look')"),)
    check(Runner(rejected, finish=()).run(request_for(lake, "nightly", date(2024, 1, 3))))


def test_the_file_is_there_and_says_running_while_a_stage_works(tmp_path: Path, modules: Path) -> None:
    lake = landed_lake(tmp_path / "lake")
    body = "(context.root / 'seen.json').write_bytes((context.run_dir / 'result.json').read_bytes())"
    Runner((write_stage(modules, "look", body),), finish=()).run(request_for(lake))
    seen = json.loads((lake.root / "seen.json").read_text())
    check(seen)
    assert (seen["status"], seen["stages"][0]["status"]) == ("running", "not_run")


def test_the_verdict_of_the_gate_becomes_the_runs(tmp_path: Path, modules: Path) -> None:
    lake = landed_lake(tmp_path / "lake")
    from nightrank.pipeline.stages import STAGES

    verdict = replace(next(stage for stage in STAGES if stage.name == VERDICT), needs=())
    for number, (decision, status, code) in enumerate(
        [("promoted", "done", 0), ("rejected", "gate_rejected", 7), ("undecidable", "done", 0), ("first", "done", 0)], 1
    ):
        gate = {"gate": {**GATE, "decision": decision}, "lists_by": {"manifest_sha256": "ab", "version": 1}}
        stages = (write_stage(modules, "gate", extra=repr(gate)), verdict)
        result = Runner(stages, finish=()).run(request_for(lake, "full", date(2024, 1, number)))
        check(result)
        assert (result["status"], result["exit_code"]) == (status, code)
        assert (result["error"] is None) == (decision != "rejected")


def test_the_tracker_is_told_once_and_its_absence_is_a_warning(
    tmp_path: Path, modules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    lake, stages = landed_lake(tmp_path / "lake"), (write_stage(modules, "one"),)
    away = Runner(stages, finish=(sys.executable, "-c", "raise SystemExit(8)"))
    assert away.run(request_for(lake))["status"] == "done"
    assert "warning: the result of full-2024-01-01 was not logged" in capsys.readouterr().err
    there = "import sys; open(sys.argv[2] + '/told', 'a').write('x'); assert sys.argv[3] == '--finish'"
    back = Runner(stages, finish=(sys.executable, "-c", there))
    for _ in range(2):
        assert back.run(request_for(lake))["status"] == "already_done"
    assert (lake.run_dir("full-2024-01-01") / "told").read_text() == "x"
