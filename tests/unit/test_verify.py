"""`verify` and `recommend` on a whole run, and `verify` on one with a single thing broken: exactly that is named."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from finished_run import DAY, RELEASE, RUN, K, finished_run, lists, recommendation, write_lists, write_release

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.pipeline import result as results
from nightrank.pipeline.recommend import recommendations
from nightrank.pipeline.stages import stages_of
from nightrank.pipeline.verify import CHECKS, verify_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return finished_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def lake(whole: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(whole.root, tmp_path, dirs_exist_ok=True)
    return Lake(tmp_path)


def test_a_whole_run_passes_every_check(lake: Lake) -> None:
    outcome = verify_run(lake)
    others = {check.name: check.seen for check in outcome.checks if check.status != "ok"}
    assert others == {"click bundle": "the run trained no click ranker"}
    seen = {check.name: check.seen for check in outcome.checks}
    assert seen["promotion"] == "first; nightrank version 1 made the lists (ranker transformer, 2 items not scored)"
    assert (outcome.run_id, outcome.exit_code, len(outcome.checks)) == (RUN, 0, len(CHECKS))


def test_a_night_without_events_made_its_lists_with_the_champion_it_found(lake: Lake) -> None:
    folder = lake.run_dir(RUN)
    champion = read_json(folder / "model_ref.json")
    (folder / "model_ref.json").unlink()
    change(folder / "run.json", found={"champion": champion, "without_events": True})
    results.write(
        folder, results.compose(folder, stages_of("full", Configuration.from_run({}), without_events=True), "done", 0)
    )
    outcome = verify_run(lake)
    seen = {check.name: (check.status, check.seen) for check in outcome.checks}
    assert (outcome.failed, seen["stages"]) == ((), ("ok", "11 stages"))
    assert seen["bundle"] == seen["model reference"] == ("skipped", "no event landed, so no model was trained")
    assert seen["promotion"][1].startswith("no challenger; nightrank version 1 made the lists")
    change(folder / "run.json", found={"champion": {**champion, "version": 2}, "without_events": True})
    assert verify_run(lake).failed == ("promotion",)


def change(path: Path, **values: object) -> None:
    write_json(path, read_json(path) | values)


def bundle(lake: Lake) -> Path:
    return lake.bundles.children()[0]


def test_a_click_bundle_is_checked_where_the_run_has_one(lake: Lake) -> None:
    path = lake.run_dir(RUN) / "result.json"
    change(path, ctr={"manifest_sha256": bundle(lake).name})
    assert [check.status for check in verify_run(lake).checks if check.name == "click bundle"] == ["ok"]
    change(path, ctr={"manifest_sha256": "0" * 64})
    outcome = verify_run(lake)
    assert outcome.failed == ("click bundle",)
    assert "manifest.json is missing" in {check.name: check.seen for check in outcome.checks}["click bundle"]


def a_pinned_file(lake: Lake) -> Path:
    return lake.table("examples_train").glob("*.parquet")[0]


def released(lake: Lake, **values: object) -> None:
    """The lists at their newest version, under a release that says so."""
    path = lake.run_dir(RUN) / "stages" / "release.json"
    stage = read_json(path)
    model, snapshot = read_json(lake.run_dir(RUN) / "model_ref.json"), lake.snapshots.children()[0].stem
    body = {**RELEASE, "recommendations_version": 1, **values}
    write_release(lake, Release(**body, manifest_sha256=model["manifest_sha256"], snapshot_id=snapshot))
    stage["output"]["release"] |= {name: body[name] for name in ("recommendations_version", "users", "rows")}
    write_json(path, stage)
    result = lake.run_dir(RUN) / "result.json"
    change(result, release=stage["output"]["release"])


def with_lists(lake: Lake, lists_: list[dict[str, object]], **values: object) -> None:
    write_lists(lake, lists_)
    released(lake, **{"rows": len(lists_), **values})


def with_items(lake: Lake, rows: list[dict[str, object]]) -> None:
    """The catalogue at its next version, under a release that goes by it."""
    whole = [dict.fromkeys(schemas.ITEMS.names) | row for row in rows]
    write_deltalake(str(lake.table("items")), pa.Table.from_pylist(whole, schemas.ITEMS), mode="overwrite")
    path = lake.run_dir(RUN) / "stages" / "release.json"
    record = read_json(path)
    record["output"]["release"]["catalogue"]["items_version"] = 1
    write_json(path, record)
    change(lake.run_dir(RUN) / "result.json", release=record["output"]["release"])


BROKEN: dict[str, tuple[Callable[[Lake], object], set[str], str]] = {
    "configuration": (
        lambda lake: change(lake.run_dir(RUN) / "run.json", config_sha256="0" * 64),
        {"run.json"},
        "another sha256",
    ),
    "unfinished": (lambda lake: change(lake.run_dir(RUN) / "result.json", status="running"), {"result.json"}, "has not ended"),
    "no_result": (lambda lake: (lake.run_dir(RUN) / "result.json").unlink(), {"result.json", "stages"}, "cannot be read"),
    "no_stage": (lambda lake: (lake.run_dir(RUN) / "stages" / "train.json").unlink(), {"stages"}, "stage train is not_run"),
    "stage": (lambda lake: change(lake.run_dir(RUN) / "stages" / "train.json", rows_in=9), {"stages"}, "train.json differ"),
    "snapshot": (lambda lake: change(lake.snapshots.children()[0], seed=6), {"snapshot", "pinned files"}, "was changed"),
    "pin_gone": (lambda lake: a_pinned_file(lake).unlink(), {"pinned files"}, "is missing"),
    "pin_cut": (lambda lake: a_pinned_file(lake).write_bytes(b"PAR1"), {"pinned files"}, "4 bytes, pinned with"),
    "weights": (
        lambda lake: (bundle(lake) / "weights.safetensors").write_bytes(b"other"),
        {"bundle", "live bundle"},
        "weights.safetensors has another sha256",
    ),
    "manifest": (
        lambda lake: (bundle(lake) / "manifest.json").write_text("{}"),
        {"bundle", "live bundle"},
        "is not the manifest",
    ),
    "reference": (
        lambda lake: change(lake.run_dir(RUN) / "model_ref.json", version=2),
        {"model reference", "promotion"},
        "version 2",
    ),
    "other_maker": (
        lambda lake: change(
            lake.run_dir(RUN) / "result.json",
            release=read_json(lake.run_dir(RUN) / "result.json")["release"]
            | {"model": {"version": 5, "manifest_sha256": "m", "ranker": "gru", "items_not_scored": 0}},
        ),
        {"promotion"},
        "the lists are of version 5, the release 1",
    ),
    "report": (lambda lake: (lake.run_dir(RUN) / "report.html").unlink(), {"report"}, "missing or empty"),
    "row_gone": (lambda lake: with_lists(lake, lists()[:-1], rows=12), {"lists complete"}, "11 rows at version 1, released 12"),
    "gap": (
        lambda lake: with_lists(lake, [*lists()[:-1], recommendation("u3", K + 1)]),
        {"lists complete"},
        "1 lists have ranks with a gap",
    ),
    "twice": (
        lambda lake: with_lists(lake, [*lists()[:-1], recommendation("u3", K, item_id="i1")]),
        {"lists complete"},
        "1 lists have items with a gap or twice",
    ),
    "too_long": (lambda lake: with_lists(lake, [*lists(), recommendation("u3", K + 1)]), {"lists complete"}, "asked for 4"),
    "user_gone": (
        lambda lake: with_lists(lake, lists()[:-K], users=2),
        {"every user"},
        "1 of 3 known users have no list",
    ),
    "two_releases": (
        lambda lake: with_lists(lake, [*lists()[:-1], recommendation("u3", K, release_id="r0")]),
        {"one release"},
        "r0",
    ),
    "off_sale": (
        lambda lake: with_items(lake, [{"item_id": "i1", "available": False}, {"item_id": "i2", "available": True}]),
        {"on sale"},
        "3 rows of the lists hold an item that is not on sale",
    ),
    "vanished": (
        lambda lake: with_items(
            lake,
            [
                {"item_id": "i1", "listed": "2024-01-02#000001"},
                {"item_id": "i2", "listed": "2024-01-03#000002", "complete": "2024-01-03#000002"},
                {"item_id": "i3"},
            ],
        ),
        {"on sale"},
        "6 rows of the lists",
    ),
    "content": (lambda lake: with_lists(lake, lists(), lists_sha256="c1"), {"list content"}, "scored c0, released c1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named(lake: Lake, name: str) -> None:
    break_it, failing, message = BROKEN[name]
    break_it(lake)
    outcome = verify_run(lake, RUN)
    assert outcome.exit_code == 4
    failed = {check.name: check.seen for check in outcome.checks if check.status == "failed"}
    assert failing <= failed.keys()
    if name != "no_result":
        assert failed.keys() == failing
    assert any(message in seen for seen in failed.values()), failed


def test_an_old_runs_expired_files_are_no_fault(lake: Lake) -> None:
    a_pinned_file(lake).unlink()
    model = read_json(lake.run_dir(RUN) / "model_ref.json")["manifest_sha256"]
    for number in (4, 5):
        body = {**RELEASE, "release_id": f"r{number}", "run_id": f"nightly-2024-01-0{number}", "date": f"2024-01-0{number}"}
        write_release(lake, Release(**body, manifest_sha256=model, snapshot_id="s"))
    checks = {check.name: check for check in verify_run(lake, RUN).checks}
    assert checks["pinned files"].status == "skipped" and "expired" in checks["pinned files"].seen


def test_recommendations_come_with_titles_and_their_release(lake: Lake) -> None:
    answer = recommendations(lake, "u2", [], [])
    assert (answer["release_id"], answer["date"], answer["model"]["version"]) == ("r1", str(DAY), 1)
    assert [row["rank"] for row in answer["items"]] == [1, 2, 3, 4]
    assert [row["title"] for row in answer["items"]] == ["Grim Fandango", None, None, None]


def test_the_commands_answer_with_one_object_and_no_jvm(lake: Lake) -> None:
    program = (
        "import sys\nfrom pipeline import cli\n"
        "try:\n    cli.main(sys.argv[1:])\n"
        "finally:\n    assert not {'pyspark', 'torch', 'mlflow'} & set(sys.modules)"
    )
    for command in (["recommend", "--user", "u1"], ["verify"]):
        call = [sys.executable, "-c", program, *command, "--root", str(lake.root), "--json"]
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["run_id"] == RUN
