"""A row of a list is traced back to what it was made of, and lists leave the lake as files for other programs."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from finished_run import RELEASE, RUN, USERS, K, finished_run

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef, load_model_ref
from nightrank.feature_store.contracts.snapshot import Parent, load_snapshot
from nightrank.pipeline.lists import export as exporting
from nightrank.pipeline.lists.export import export, format_of, release_named
from nightrank.pipeline.lists.lineage import lineage


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = finished_run(tmp_path / "lake")
    write_deltalake(str(found.table("interactions")), pa.table({"n": [1]}))
    return found


def grown(lake: Lake) -> ModelRef:
    """The run's model is said to have grown from an earlier champion, whose snapshot is there too."""
    folder = lake.run_dir(RUN)
    ref = load_model_ref(folder / "model_ref.json")
    first = load_snapshot(lake.snapshot(ref.snapshot_id))
    parent = Parent(version=0, bundle="models/p", checkpoint=None, lineage="l", snapshot_id=first.id, manifest_sha256="parent")
    earlier = ref.model_copy(update={"version": 0, "manifest_sha256": "parent", "run_id": "full-earlier"})
    earlier.save(lake.earlier_champion("parent"))
    later = first.model_copy(update={"parent": parent, "kind": "nightly", "base": first.id})
    later.save(lake.snapshot(later.id))
    ref.model_copy(update={"snapshot_id": later.id}).save(folder / "model_ref.json")
    return earlier


def test_a_row_is_traced_to_its_release_run_model_and_data(lake: Lake) -> None:
    found = lineage(lake, USERS[0], 2, [], [])
    assert (found["row"]["rank"], found["row"]["item_id"], found["release"]["id"], found["run"]["run_id"]) == (
        2,
        "i2",
        RELEASE["release_id"],
        RUN,
    )
    run = read_json(lake.run_dir(RUN) / "run.json")
    assert (found["run"]["commit"], found["run"]["config_sha256"]) == (run["commit"], run["config_sha256"])
    assert found["trained_on"]["parts"]["train"] == {"table": "examples_train", "version": 0, "files": 1, "rows": 2}
    assert found["model"]["mlflow_run_id"] == "m" and all(step["found"] for step in found["steps"])


def test_the_chain_goes_back_to_the_model_of_the_full_run(lake: Lake) -> None:
    earlier = grown(lake)
    found = lineage(lake, USERS[0], 1, [], [])
    assert [(one["version"], one["run_id"]) for one in found["chain"]] == [(1, RUN), (0, earlier.run_id)]


@pytest.mark.parametrize("lost", ["bundle", "snapshot", "run", "table"])
def test_what_is_gone_is_said(lake: Lake, lost: str) -> None:
    ref = load_model_ref(lake.run_dir(RUN) / "model_ref.json")
    manifest = lake.bundles / ref.manifest_sha256 / "manifest.json"
    if lost == "bundle":
        write_json(manifest, {"weights.safetensors": "another"})
    elif lost == "snapshot":
        lake.snapshot(ref.snapshot_id).unlink()
    elif lost == "run":
        ref.save(lake.champion_path)
        shutil.rmtree(lake.run_dir(RUN).path)
    else:
        shutil.rmtree(lake.table("vocabulary").path)
    steps = {step["what"].split()[0]: step["found"] for step in lineage(lake, USERS[0], 1, [], [])["steps"]}
    assert [what for what, there in steps.items() if not there] == [lost]


def test_a_rank_that_the_list_has_not_and_an_unknown_user_are_refused(lake: Lake) -> None:
    with pytest.raises(UsageError, match=f"no rank {K + 1}"):
        lineage(lake, USERS[0], K + 1, [], [])
    with pytest.raises(UsageError, match="has no list") as error:
        lineage(lake, "nobody-4711", 1, [], [])
    assert "4711" not in str(error.value)


@pytest.mark.parametrize("kind", exporting.FORMATS)
def test_every_row_of_a_release_leaves_in_each_format(lake: Lake, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out" / f"lists.{kind}"
    rows = export(lake, release_named(lake, None), target, format_of(target, None))
    if kind == "parquet":
        read = pq.read_table(target).to_pylist()
    elif kind == "csv":
        read = list(csv.DictReader(target.open(newline="")))
    else:
        read = [json.loads(line) for line in target.open()]
    assert rows == len(read) == len(USERS) * K
    assert {(row["user_id"], int(row["rank"]), row["item_id"]) for row in read} == {
        (user, rank, f"i{rank}") for user in USERS for rank in range(1, K + 1)
    }
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_formula_in_a_cell_is_text_in_csv(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "titles_of", lambda lake: {"i1": "=1+1", "i2": 'a "quoted", title'})
    export(lake, release_named(lake, None), tmp_path / "lists.csv", "csv")
    titles = {row["item_id"]: row["title"] for row in csv.DictReader((tmp_path / "lists.csv").open(newline=""))}
    assert (titles["i1"], titles["i2"]) == ("'=1+1", 'a "quoted", title')


def test_an_export_that_is_cut_off_leaves_the_earlier_file(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "lists.csv"
    target.write_text("earlier")
    monkeypatch.setattr(exporting, "_cell", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(lake, release_named(lake, None), target, "csv")
    assert target.read_text() == "earlier" and [path.name for path in tmp_path.glob("*lists*")] == ["lists.csv"]


def test_another_format_and_another_release_are_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no format 'xlsx'"):
        format_of(tmp_path / "lists.xlsx", None)
    with pytest.raises(UsageError, match="there is no release r9"):
        release_named(lake, "r9")
