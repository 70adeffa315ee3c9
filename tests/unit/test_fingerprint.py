"""One rule: a stage is done if an output stands that was made of what it would be made of now."""

import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.context import StageContext, StageResult
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.fingerprint import fingerprint_of, is_done, is_kept
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.inputs import INPUTS
from nightrank.feature_store.contracts.landing_days import landing_days
from nightrank.feature_store.contracts.outputs.catalogue import OUTPUTS, read_output
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.pipeline.config import NightConfig
from nightrank.pipeline.stages import STAGES
from tests import evaluation_lake as lake

CONFIG = NightConfig().model_dump(mode="json")
DAY = date(2024, 3, 2)
SNAPSHOT = {"path": "snapshots/x.json", "rows": {}, "kind": "nightly"}


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    return StageContext(tmp_path, "nightly-2024-03-02", "nightly", DAY, 17, 0, Configuration.from_run(CONFIG))


def land(context: StageContext, day: date, name: str = "part-0.parquet", data: bytes = b"rows") -> Path:
    path = context.lake.landing_day("events", day) / name
    path.parent.mkdir()
    path.write_bytes(data)
    return path


def left(context: StageContext, stage: str, **extra: Any) -> None:
    StageResult(stage, output=read_output(stage, extra)).save(context)


def changed(context: StageContext, section: str, key: str, value: object) -> StageContext:
    tree = context.config.tree
    return replace(context, config=Configuration.from_run({**tree, section: {**tree[section], key: value}}))


def test_every_stage_says_what_it_reads_and_reads_only_what_runs_before_it():
    assert set(INPUTS) == {stage.name for stage in STAGES}
    order = [stage.name for stage in STAGES]
    for stage in STAGES:
        declared = INPUTS[stage.name]
        assert all(order.index(name) < order.index(stage.name) for name in declared.stages), stage.name
        roots = {name.split(".")[0] for name in declared.sections or ()}
        assert roots <= set(NightConfig.model_fields), stage.name


@pytest.mark.parametrize(
    ("stage", "section", "key", "value"),
    [
        ("train", "trainer", "batch_rows", 3),
        ("train_ctr", "ctr", "epochs", 9),
        ("ingest_events", "ingest", "unknown_items", "quarantine"),
        ("build_training_set", "scoring", "filter_seen", {"days": 3}),
        ("gate", "gate", "margin", 0.5),
        ("score_users", "scoring", "k", 3),
    ],
)
def test_a_section_that_a_stage_reads_is_in_its_fingerprint_and_another_is_not(context, stage, section, key, value):
    assert fingerprint_of(changed(context, section, key, value), stage) != fingerprint_of(context, stage)
    assert fingerprint_of(changed(context, "spark", "driver_memory", "9g"), stage) == fingerprint_of(context, stage)
    assert fingerprint_of(changed(context, "maintenance", "keep_releases", 3), stage) == fingerprint_of(context, stage)


def test_a_password_is_in_no_fingerprint(context):
    address, other = ("https://user:one@tracker/", "https://user:two@tracker/")
    known = [fingerprint_of(changed(context, "mlflow", "tracking_uri", uri), "register") for uri in (address, other)]
    assert known[0] == known[1] != fingerprint_of(changed(context, "mlflow", "tracking_uri", "https://elsewhere/"), "register")


def test_how_many_are_listed_is_nothing_to_the_training_set(context):
    other = changed(context, "scoring", "k", 3)
    assert fingerprint_of(other, "build_training_set") == fingerprint_of(context, "build_training_set")


def test_a_night_takes_in_its_own_day_and_a_full_run_all_up_to_it(context):
    land(context, DAY)
    full = replace(context, kind="full")
    before = [fingerprint_of(one, "ingest_events") for one in (context, full)]
    land(context, date(2024, 3, 1))
    after = [fingerprint_of(one, "ingest_events") for one in (context, full)]
    assert after[0] == before[0] and after[1] != before[1]
    land(context, DAY, data=b"other rows")
    assert fingerprint_of(context, "ingest_events") != before[0]


def test_every_output_belongs_to_a_stage_and_has_a_json_form():
    assert set(OUTPUTS) <= {stage.name for stage in STAGES}
    assert {stage.name for stage in STAGES} - set(OUTPUTS) == {"embed_items", "score_baselines"}


def test_what_an_older_release_left_is_named_and_not_guessed_at(context):
    write_json(context.stage_file("train"), {"name": "train", "output": {"training": {}}})
    with pytest.raises(
        DataContractError, match="the output of stage train has another format than this version writes: model_files"
    ):
        fingerprint_of(context, "register")


def test_what_a_stage_read_from_another_decides(context):
    left(context, "build_training_set", snapshot={**SNAPSHOT, "id": "a"})
    first = fingerprint_of(context, "train")
    left(context, "build_training_set", snapshot={**SNAPSHOT, "id": "b"})
    assert fingerprint_of(context, "train") != first
    left(context, "build_training_set", snapshot={**SNAPSHOT, "id": "a"})
    assert fingerprint_of(context, "train") == first


def test_weights_that_come_out_the_same_leave_what_follows_done(context):
    files = {"live": "models/a", "measured": None, "checkpoint": "checkpoints/x"}
    left(context, "train", training={"seconds": 1.0}, model_files=files)
    first = fingerprint_of(context, "register")
    left(context, "train", training={"seconds": 2.0}, model_files=files)
    assert fingerprint_of(context, "register") == first
    left(context, "train", training={"seconds": 2.0}, model_files={**files, "live": "models/b"})
    assert fingerprint_of(context, "register") != first


def test_the_runs_own_promotion_changes_nothing_it_stands_on_but_another_champion_does(context):
    first = lake.ref_of("models/a", "full")
    first.save(context.lake.champion_path)
    first.save(context.lake.earlier_champion(first.manifest_sha256))
    found = fingerprint_of(context, "build_training_set")
    own = lake.ref_of("models/b", context.run_id).model_copy(update={"replaced": first.manifest_sha256})
    own.save(context.lake.champion_path)
    assert fingerprint_of(context, "build_training_set") == found
    lake.ref_of("models/c", "other").save(context.lake.champion_path)
    assert fingerprint_of(context, "build_training_set") != found
    full = replace(context, kind="full")
    alone = fingerprint_of(full, "build_training_set")
    first.save(context.lake.champion_path)
    assert fingerprint_of(full, "build_training_set") == alone, "a full run grows from no champion"


def test_what_a_run_found_when_it_was_opened_is_what_its_stages_are_made_of(context):
    first, second = lake.ref_of("models/a", "full"), lake.ref_of("models/b", "other")
    first.save(context.lake.champion_path)
    opened = replace(context, found=Found(champion=first))
    before = {stage: fingerprint_of(opened, stage) for stage in ("build_training_set", "evaluate", "gate")}
    assert before == {stage: fingerprint_of(context, stage) for stage in before}
    second.save(context.lake.champion_path)
    assert before == {stage: fingerprint_of(opened, stage) for stage in before}
    assert fingerprint_of(replace(context, found=Found(champion=first, last_full=second)), "evaluate") != before["evaluate"]


def test_a_night_takes_in_what_its_champion_has_not_learnt_also_after_its_own_promotion(context):
    days = [date(2024, 2, 28), date(2024, 3, 1), DAY]
    for day in days:
        land(context, day)
    champion = lake.ref_of("models/a", "full", day="2024-02-29")
    opened = replace(context, found=Found(champion=champion))
    assert landing_days(opened, "events") == days[1:]
    before = fingerprint_of(opened, "ingest_events")
    lake.ref_of("models/b", context.run_id, day=DAY.isoformat()).save(context.lake.champion_path)
    assert fingerprint_of(opened, "ingest_events") == before
    land(context, days[0], data=b"landed before the champion")
    assert fingerprint_of(opened, "ingest_events") == before
    land(context, days[1], data=b"landed again since")
    assert fingerprint_of(opened, "ingest_events") != before


def test_a_finished_run_does_not_come_undone_when_the_lake_moves_on(context):
    land(context, DAY)
    opened = replace(context, found=Found())
    run_stage("ingest_events", lambda _: StageResult("ingest_events"), opened)
    land(context, DAY, "part-1.parquet")
    assert not is_done(opened, "ingest_events") and is_kept(opened, "ingest_events")
    assert not is_kept(changed(opened, "calendar", "timezone", "Europe/Berlin"), "ingest_events")
    assert not is_kept(replace(opened, repetitions={"ingest_events": 1}), "ingest_events")


def test_a_stage_is_done_until_an_input_changes_or_it_is_asked_for_again(context):
    landed = land(context, DAY)
    assert not is_done(context, "ingest_events")
    run_stage("ingest_events", lambda _: StageResult("ingest_events"), context)
    assert is_done(context, "ingest_events")
    assert not is_done(replace(context, repetitions={"ingest_events": 1}), "ingest_events")
    assert not is_done(changed(context, "calendar", "timezone", "Europe/Berlin"), "ingest_events")
    os.utime(landed, (1, 1))
    assert not is_done(context, "ingest_events")


def test_what_landed_while_a_stage_worked_is_not_taken_for_read(context):
    def run(_: StageContext) -> StageResult:
        land(context, DAY, "part-1.parquet")
        return StageResult("ingest_events")

    run_stage("ingest_events", run, context)
    assert not is_done(context, "ingest_events")


def test_a_record_from_before_there_were_fingerprints_is_not_done(context):
    write_json(context.stage_file("verdict"), {"name": "verdict"})
    assert not is_done(context, "verdict")
