"""`nightrank rollback`: the one way back in time, whole or not at all, and ended where it was cut off."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from finished_run import RELEASE, lists, write_lists, write_release

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.champion import replace_champion
from nightrank.feature_store.contracts.errors import DependencyUnreachable, SafetyRefusal, UsageError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.vocabulary_lineage import Lineage, save_lineage
from nightrank.pipeline.cli import _run
from nightrank.pipeline.rollback import roll_back as job
from nightrank.pipeline.rollback import stores
from nightrank.pipeline.rollback.roll_back import roll_back
from nightrank.pipeline.rollback.step import made_by
from tests import evaluation_lake


def promoted(
    lake: Lake, version: int, day: str, over: str | None, *, manifest: str | None = None, release: str | None = None
) -> ModelRef:
    """A champion of that version with its lists, as a run leaves them."""
    manifest, release = manifest or f"{version}" * 64, release or f"r{version}"
    ref = evaluation_lake.ref_of(f"models/{manifest}", f"run-{release}", version, day)
    (lake.root / ref.bundle).mkdir()
    champion = replace_champion(evaluation_lake.context_of(lake.root, ref.run_id), ref, over)
    write_lists(lake, lists())
    at = delta_read.table_version(lake, "recommendations")
    body = {**RELEASE, "release_id": release, "run_id": ref.run_id, "date": day, "model_version": version}
    body |= {"recommendations_version": at, "manifest_sha256": manifest, "snapshot_id": "s", "fence": 0}
    write_release(lake, Release(**body))
    return champion


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two promotions. No tracker: the alias is another process's."""
    monkeypatch.setattr(stores, "answered", lambda program, request, failed: {"moved": []})
    lake = Lake(tmp_path)
    first = promoted(lake, 1, "2024-01-01", None)
    promoted(lake, 2, "2024-01-02", first.manifest_sha256)
    return lake


def test_the_champion_and_the_lists_before_are_current_and_there_is_nothing_before_them(lake):
    answer = roll_back(lake)
    champion, release = lake.expect_champion(), delta_read.latest_release(lake)
    assert (champion.version, champion.replaced, release.release_id, release.model_version) == (1, None, "r1", 1)
    assert release.recommendations_version == 0 and len(delta_read.releases(lake)) == 3
    assert (answer["champion"]["version"], answer["replaced"], answer["note"]) == (1, "version 2", "")
    before = lake.champion_path.read_bytes()
    with pytest.raises(SafetyRefusal, match="there is no champion before nightrank version 1 of 2024-01-01"):
        roll_back(lake)
    assert lake.champion_path.read_bytes() == before and len(delta_read.releases(lake)) == 3


def test_a_dry_run_says_the_same_and_changes_nothing(lake):
    before = sorted((path, path.stat().st_mtime_ns) for path in lake.root.path.rglob("*"))
    assert roll_back(lake, dry_run=True)["release"]["release_id"] == "r1"
    assert sorted((path, path.stat().st_mtime_ns) for path in lake.root.path.rglob("*")) == before


def test_cut_off_between_champion_and_lists_the_same_command_ends_it_and_goes_no_further(lake, monkeypatch):
    third = promoted(lake, 3, "2024-01-03", lake.expect_champion().manifest_sha256)
    assert third.version == 3

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(job.release_rows, "append", _cut)
        roll_back(lake)
    assert (lake.expect_champion().version, delta_read.latest_release(lake).model_version) == (2, 3)
    roll_back(lake)
    assert (lake.expect_champion().version, delta_read.latest_release(lake).model_version) == (2, 2)


def test_a_named_release_is_gone_back_to_over_several_promotions_and_forward_again(lake):
    promoted(lake, 3, "2024-01-03", lake.expect_champion().manifest_sha256)
    back = roll_back(lake, to="r1")
    assert (lake.expect_champion().version, delta_read.latest_release(lake).release_id) == (1, "r1")
    assert [(store["name"], store["changed"]) for store in back["stores"]] == [
        ("champion.json", True),
        ("Delta table releases", True),
        ("MLflow", False),
    ]
    assert back["stores"][0]["did"] == "names nightrank version 1 of 2024-01-01, not version 3"
    assert back["stores"][1]["did"] == "has release r1 of 2024-01-01 as its newest: recommendations at version 0"
    rows = len(delta_read.releases(lake))
    again = roll_back(lake, to="r1")
    assert (back["status"], again["status"], len(delta_read.releases(lake))) == ("done", "already_done", rows)
    assert roll_back(lake, to="r3")["champion"]["version"] == lake.expect_champion().version == 3
    assert delta_read.latest_release(lake).recommendations_version == 2
    assert roll_back(lake)["champion"]["version"] == 2, "what the third replaced is still known"


def test_lists_of_an_earlier_night_of_the_same_champion_can_be_named(lake):
    newest = delta_read.releases(lake)[-1]
    write_lists(lake, lists())
    write_release(lake, newest.model_copy(update={"release_id": "r2b", "date": "2024-01-03", "recommendations_version": 2}))
    champion = lake.champion_path.read_bytes()
    assert roll_back(lake, to="r2")["stores"][0]["did"] == "names nightrank version 2 of 2024-01-02, as before"
    assert lake.champion_path.read_bytes() == champion and delta_read.latest_release(lake).recommendations_version == 1


@pytest.mark.parametrize(
    ("name", "why"), [("x", "no release has that id"), ("r", "several releases begin so"), ("", "no release")]
)
def test_an_unknown_release_names_those_that_are_known(lake, name, why):
    with pytest.raises(UsageError, match=f"--to '{name}': {why}") as fault:
        roll_back(lake, to=name)
    assert fault.value.remedy == "known, newest last: r1 of 2024-01-01 (version 1), r2 of 2024-01-02 (version 2)"
    assert lake.expect_champion().version == 2 and len(delta_read.releases(lake)) == 2


def test_cut_off_on_the_way_to_a_named_release_either_command_ends_it(lake, monkeypatch):
    promoted(lake, 3, "2024-01-03", lake.expect_champion().manifest_sha256)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(job.release_rows, "append", _cut)
        roll_back(lake, to="r1")
    assert (lake.expect_champion().version, delta_read.latest_release(lake).release_id) == (1, "r3")
    assert roll_back(lake, dry_run=True)["release"]["release_id"] == "r1", "without --to it ends what was begun"
    roll_back(lake, to="r1")
    assert (lake.expect_champion().version, delta_read.latest_release(lake).release_id) == (1, "r1")


def _cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_release_of_another_schema_or_of_no_champion_is_refused(lake):
    second, schema = delta_read.releases(lake)[-1], pa.schema([("user_id", pa.string()), ("item_id", pa.int64())])
    rows = pa.Table.from_pylist([{"user_id": "u1", "item_id": 7}], schema)
    write_deltalake(str(lake.table("recommendations")), rows, mode="overwrite", schema_mode="overwrite")
    write_release(lake, second.model_copy(update={"release_id": "old", "recommendations_version": 2}))
    write_deltalake(
        str(lake.table("recommendations")),
        pa.Table.from_pylist(lists(), schemas.RECOMMENDATIONS),
        mode="overwrite",
        schema_mode="overwrite",
    )
    with pytest.raises(SafetyRefusal, match=r"schema: column rank is missing; column item_id was .*long.* and is .*string"):
        roll_back(lake, to="old")
    write_release(lake, second.model_copy(update={"release_id": "stray", "manifest_sha256": "e" * 64}))
    with pytest.raises(SafetyRefusal, match="was no champion of this lake"):
        roll_back(lake, to="stray")
    assert lake.expect_champion().version == 2


def test_a_named_release_whose_files_or_bundle_are_gone_is_refused(lake):
    for file in delta_read.files_of(lake, "recommendations", 0):
        (lake.table("recommendations") / file).unlink()
    with pytest.raises(SafetyRefusal, match="the lists of release r1 of 2024-01-01 are no longer kept"):
        roll_back(lake, to="r1")
    (lake.root / lake.expect_champion().bundle).path.rmdir()
    with pytest.raises(SafetyRefusal, match="the bundle of nightrank version 2 of 2024-01-02"):
        roll_back(lake, to="r2")


def test_an_older_lineage_is_refused_by_name(lake):
    write_json(lake.snapshot("s"), {"tables": {"vocabulary": 0}})
    save_lineage(lake, Lineage(number=2, vocabulary_from=1, status="done", begun="2024-01-02"))
    with pytest.raises(SafetyRefusal, match="is of an earlier vocabulary"):
        roll_back(lake, to="r1")


def test_the_command_answers_with_what_became_of_each_store(lake, capsys):
    words = ["rollback", "--root", str(lake.root), "--to", "r1"]
    assert _run([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["status"], lake.expect_champion().version) == ("planned", 2)
    assert plan["stores"][0]["did"] == "would name nightrank version 1 of 2024-01-01, not version 2"
    assert _run(words) == 0
    told = capsys.readouterr().out
    assert "version 1 of 2024-01-01 is the champion" in told and "MLflow: no alias had to be moved" in told
    assert _run(["rollback", "--root", str(lake.root), "--to", "zz"]) == 2


def test_a_tracker_that_does_not_answer_is_behind_and_named(lake, monkeypatch):
    def away(*_: object) -> dict:
        raise DependencyUnreachable("MLflow is away")

    monkeypatch.setattr(stores, "answered", away)
    answer = roll_back(lake)
    assert answer["note"] == "the aliases follow with the next run: MLflow is away"
    assert delta_read.latest_release(lake).release_id == "r1"


def test_lists_that_are_no_longer_kept_are_not_gone_back_to(lake):
    for file in delta_read.files_of(lake, "recommendations", 0):
        (lake.table("recommendations") / file).unlink()
    with pytest.raises(SafetyRefusal, match="the lists of nightrank version 1 of 2024-01-01 are no longer kept"):
        roll_back(lake)
    assert lake.expect_champion().version == 2


def test_a_lake_that_never_had_a_champion_is_refused(tmp_path):
    with pytest.raises(SafetyRefusal, match="has no champion yet"):
        roll_back(Lake(tmp_path / "none"))


def test_after_a_lost_registry_lists_are_told_by_the_bundle_and_not_by_the_version(lake):
    """The registry began again at 1: another bundle, made later, has the name and version of the first champion."""
    again = promoted(lake, 1, "2024-01-03", lake.expect_champion().manifest_sha256, manifest="a" * 64, release="r3")
    promoted(lake, 2, "2024-01-04", again.manifest_sha256, manifest="b" * 64, release="r4")
    answer = roll_back(lake)
    assert (answer["champion"]["manifest_sha256"], answer["release"]["release_id"]) == ("a" * 64, "r3")
    assert roll_back(lake)["release"]["release_id"] == "r2"
    assert (roll_back(lake)["release"]["release_id"], lake.expect_champion().manifest_sha256) == ("r1", "1" * 64)


def test_a_new_registrys_lower_version_is_no_rollback_that_was_cut_off(lake):
    """Promoted and killed before its release: the newest lists are of a higher version, which no rollback left there."""
    manifest = "a" * 64
    ref = evaluation_lake.ref_of(f"models/{manifest}", "run-9", 1, "2024-01-03")
    (lake.root / ref.bundle).mkdir()
    replace_champion(evaluation_lake.context_of(lake.root, "run-9"), ref, lake.expect_champion().manifest_sha256)
    assert roll_back(lake)["release"]["release_id"] == "r2"


def test_lists_of_a_copy_that_knows_new_items_are_its_champions(lake):
    champion = lake.expect_champion()
    copy = champion.model_copy(update={"manifest_sha256": "c" * 64, "alias": None})
    copy.save(lake.run_dir("night") / "list_model.json")
    gate = {"output": {"gate": {"champion": champion.manifest_sha256}}}
    write_json(lake.run_dir("night") / "stages" / "gate.json", gate)
    newest = delta_read.releases(lake)[-1].model_copy(update={"run_id": "night", "manifest_sha256": "c" * 64})
    assert made_by(lake, newest, champion)
    other = champion.model_copy(update={"manifest_sha256": "d" * 64})
    assert not made_by(lake, newest, other)
