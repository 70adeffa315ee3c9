"""`nightrank reset-vocabulary`: a new lineage, older models refused with 9, nothing written where it is not confirmed."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from finished_run import DAY, RUN, finished_run

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import failpoints, schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import NothingToDo, SafetyRefusal
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.fingerprint import fingerprint_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import load_model_ref
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.vocabulary_lineage import is_older, lineage_of
from nightrank.pipeline.reset_vocabulary import reset_vocabulary
from nightrank.pipeline.rollback.step import planned as rollback_planned
from nightrank.pipeline.run import request as requests
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.verify import verify_run

CONFIG = Configuration.from_run({"seed": 5, "mlflow": {}})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A finished full run whose model is the champion."""
    lake = finished_run(tmp_path / "lake")
    ref = load_model_ref(lake.run_dir(RUN) / "model_ref.json")
    ref.save(lake.champion_path)
    ref.model_copy(update={"manifest_sha256": "0" * 64}).save(lake.earlier_champion("0" * 64))
    return lake


def state(lake: Lake) -> list[tuple[str, int, float]]:
    return sorted((path.key, entry.size, entry.modified) for path, entry in lake.root.walk())


def request(lake: Lake, kind: str) -> RunRequest:
    return RunRequest(lake.root, kind, DAY, CONFIG)


def test_without_a_word_of_consent_and_in_a_dry_run_nothing_is_written(lake: Lake) -> None:
    before = state(lake)
    with pytest.raises(SafetyRefusal, match="2 tables would be emptied, models trained so far refused") as error:
        reset_vocabulary(lake)
    assert error.value.exit_code == 9 and "--yes" in error.value.remedy
    answer = reset_vocabulary(lake, dry_run=True)
    assert answer == {
        "status": "planned", "exit_code": 0, "lineage": 2, "emptied": {"vocabulary": 3, "examples_train": 2},
        "refused": {"name": "nightrank", "version": 1, "date": str(DAY)},
    }  # fmt: skip
    assert state(lake) == before


def test_a_night_on_an_older_model_is_refused_and_a_full_run_starts_again(lake: Lake) -> None:
    full = RunRequest(lake.root, "full", DAY, CONFIG)
    assert requests.due_again(full) == full
    assert reset_vocabulary(lake, confirmed=True)["status"] == "done"
    assert delta_read.rows_of(lake, "vocabulary", delta_read.table_version(lake, "vocabulary") or 0) == 0
    assert not list(lake.table("vocabulary").path.glob("*.parquet")), "no file of an earlier version is left"
    assert delta_read.lists_for(lake, ["u1"], delta_read.releases(lake)[0])["u1"], "the lists stay"
    before = state(lake)
    with pytest.raises(SafetyRefusal, match="nightrank version 1 of 2024-01-03 is of an earlier vocabulary") as error:
        requests.check_ready(request(lake, "nightly"))
    assert error.value.exit_code == 9 and "nightrank full" in error.value.remedy
    with pytest.raises(SafetyRefusal):
        rollback_planned(lake)
    assert state(lake) == before
    requests.check_ready(full)
    assert requests.run_id_of(requests.due_again(full)) == f"full-{DAY}-r2"


def test_a_model_of_the_new_lineage_is_not_refused_and_a_second_reset_refuses_it_too(lake: Lake) -> None:
    reset_vocabulary(lake, confirmed=True)
    row = {"kind": "user", "raw_id": "u9", "dense_id": 1}
    write_deltalake(str(lake.table("vocabulary")), pa.Table.from_pylist([row], schemas.VOCABULARY), mode="append")
    champion = lake.expect_champion()
    old = load_snapshot(lake.snapshot(champion.snapshot_id))
    version = delta_read.table_version(lake, "vocabulary") or 0
    new = old.model_copy(update={"tables": {"vocabulary": version}})
    new.save(lake.snapshot(new.id))
    champion.model_copy(update={"snapshot_id": new.id}).save(lake.champion_path)
    requests.check_ready(request(lake, "nightly"))
    assert (is_older(lake, old.id), is_older(lake, new.id), is_older(lake, "gone")) == (True, False, True)
    assert reset_vocabulary(lake, confirmed=True)["lineage"] == 3
    assert is_older(lake, new.id)
    with pytest.raises(NothingToDo):
        reset_vocabulary(lake, confirmed=True)


def test_cut_off_it_keeps_runs_out_until_the_same_command_ends_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.VARIABLE, "reset.after_table")
    command = [sys.executable, "-m", "nightrank.pipeline.cli", "reset-vocabulary", "--root", str(lake.root), "--yes"]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    monkeypatch.delenv(failpoints.VARIABLE)
    with pytest.raises(SafetyRefusal, match="has not ended"):
        requests.check_ready(request(lake, "full"))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    lineage = lineage_of(lake)
    assert lineage is not None and (lineage.number, lineage.status) == (2, "done")
    requests.check_ready(request(lake, "full"))


def test_verify_passes_by_what_the_reset_has_emptied(lake: Lake) -> None:
    reset_vocabulary(lake, confirmed=True)
    found = {check.name: check for check in verify_run(lake, RUN).checks}
    assert found["pinned files"].status == "skipped" and "vocabulary was reset" in found["pinned files"].seen
    assert not [name for name, check in found.items() if check.status == "failed"]


def test_what_was_built_for_the_old_lineage_is_not_done_for_the_new_one(lake: Lake) -> None:
    body = read_json(lake.run_dir(RUN) / "run.json")
    context = StageContext(lake.root, RUN, "full", DAY, 5, 1, Configuration.from_run(body["config"]))
    before = {stage: fingerprint_of(context, stage) for stage in ("ingest_events", "build_features")}
    reset_vocabulary(lake, confirmed=True)
    after = {stage: fingerprint_of(context, stage) for stage in before}
    assert after["ingest_events"] == before["ingest_events"] and after["build_features"] != before["build_features"]
