"""Hand-offs survive JSON, are tamper-evident, and a file is the old one or the new one."""

import json
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import BY_CODE, ConflictError, DataContractError, UsageError
from nightrank.feature_store.contracts.files import read_json, sha256_of, write_atomic, write_json
from nightrank.feature_store.contracts.outputs.trained import Trained
from nightrank.feature_store.contracts.snapshot import (
    DatasetSnapshot,
    Normalisation,
    Part,
    PinnedFile,
    SplitRule,
    load_snapshot,
)
from nightrank.feature_store.contracts.stage import StageContext, StageResult, load_context, run_stage
from nightrank.feature_store.contracts.tables import CATALOGUE, MADE_BY


def snapshot(**changes: object) -> DatasetSnapshot:
    part = Part(
        table="examples_train",
        version=3,
        schema_fingerprint="f",
        files=(PinnedFile(path="part-0.parquet", rows=7, row_groups=(4, 3), bytes=100),),
    )
    body: dict[str, object] = {
        "kind": "full",
        "date": "2026-01-02",
        "clock": "real",
        "parts": {"train": part},
        "normalisation": Normalisation(),
        "split": SplitRule(kind="global_time", holdout_modulus=10, valid_from=1, test_from=2),
        "event_time_cutoff": 5,
        "availability_cutoff": 5,
        "seed": 17,
        "items": 9,
        "users": 4,
    }
    return DatasetSnapshot(**{**body, **changes})


def context(tmp_path: Path, fence: int = 1) -> StageContext:
    run_dir = tmp_path / "runs" / "full-2026-01-02"
    body = {"root": str(tmp_path), "run_id": run_dir.name, "kind": "full", "date": "2026-01-02", "seed": 1, "fence": fence}
    write_json(run_dir / "run.json", {**body, "config": {}})
    return load_context(run_dir)


def test_snapshot_round_trips_with_its_id(tmp_path: Path):
    original = snapshot()
    original.save(tmp_path / "s.json")
    loaded = load_snapshot(tmp_path / "s.json")
    assert loaded == original
    assert loaded.id == original.id
    assert loaded.rows("train") == 7
    assert loaded.rows("test") == 0


def test_snapshot_id_depends_on_every_field():
    assert snapshot().id == snapshot().id
    assert len({snapshot().id, snapshot(seed=18).id, snapshot(items=10).id, snapshot(date="2026-01-03").id}) == 4


def test_changed_snapshot_is_refused(tmp_path: Path):
    path = tmp_path / "s.json"
    snapshot().save(path)
    path.write_text(path.read_text().replace('"rows": 7', '"rows": 8'))
    with pytest.raises(DataContractError, match="changed after it was written"):
        load_snapshot(path)


def test_write_atomic_leaves_no_temporary_file_and_replaces_whole(tmp_path: Path):
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": 1})
    write_atomic(path, b"{}\n")
    assert read_json(path) == {}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_sha256_of_ignores_key_order():
    assert sha256_of({"a": 1, "b": [2, "é"]}) == sha256_of({"b": [2, "é"], "a": 1})


def test_stage_leaves_its_result_and_clears_an_earlier_error(tmp_path: Path):
    run = context(tmp_path)
    error_file = run.run_dir / "stages" / "s.error.json"

    def failing(_: StageContext) -> StageResult:
        raise DataContractError("events.csv: column user_id is missing", "add it")

    with pytest.raises(DataContractError):
        run_stage("s", failing, run)
    assert json.loads(error_file.read_text()) == {
        "name": "s",
        "exit_code": 4,
        "code": "data_contract",
        "message": "events.csv: column user_id is missing",
        "remedy": "add it",
    }
    run_stage("s", lambda _: StageResult("s", rows_in=3), run)
    assert run.result_of("s").rows_in == 3
    assert not error_file.exists()


def test_what_an_earlier_stage_has_not_left_is_named_by_that_stage(tmp_path: Path):
    run = context(tmp_path)
    with pytest.raises(DataContractError, match="run full-2026-01-02 has nothing of stage train, which must come first"):
        run.output(Trained)
    with pytest.raises(DataContractError) as raised:
        load_snapshot(run.run_dir / "snapshot.json")
    assert (raised.value.exit_code, raised.value.remedy) == (4, "run stage build_training_set first")


def test_a_folder_that_is_no_run_is_a_wrong_use(tmp_path: Path):
    with pytest.raises(UsageError, match=r"is no run: it holds no run\.json"):
        load_context(tmp_path)


def test_superseded_run_may_not_commit(tmp_path: Path):
    run = context(tmp_path, fence=4)
    write_json(run.lake.lease, {"run_id": "nightly-2026-01-03", "fence": 5})
    with pytest.raises(ConflictError, match="nightly-2026-01-03"):
        run.check_fence()
    write_json(run.lake.lease, {"run_id": run.run_id, "fence": 4})
    run.check_fence()


def test_every_error_code_has_its_own_exit_code_and_class():
    assert {kind.exit_code for kind in BY_CODE.values()} == {1, 2, 3, 4, 5, 6, 7, 8, 9}


def test_catalogue_keys_and_volatile_columns_exist():
    for table in CATALOGUE.values():
        names = set(table.schema.names)
        assert set(table.keys) <= names, table.name
        assert set(table.volatile) <= names, table.name
        assert set(table.partitions) <= names, table.name
        assert table.content_columns, table.name


def test_every_table_names_the_stage_that_makes_it():
    assert MADE_BY.keys() == CATALOGUE.keys()
