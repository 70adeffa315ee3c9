"""An erasure reaches what was written from the lake and is not in it: a real MLflow server, exported lists, event logs."""

import json
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finished_run import finished_run

from nightrank.feature_store.contracts import erasures
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import DependencyUnreachable
from nightrank.feature_store.contracts.files import canonical_json, read_json, sha256_file, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline import outside
from nightrank.pipeline.cli import _run
from nightrank.pipeline.erase import erase, user_of
from nightrank.pipeline.lists import exported
from nightrank.pipeline.search_erased import search
from nightrank.trainer.tracking.lake_address import LAKE, lake_key
from tests.mlflow_server import MlflowServer

ERASED, STAYS = "u2", "u1"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return finished_run(tmp_path / "lake")


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return configured(tmp_path)


def configured(tmp_path: Path, **sections: dict) -> Configuration:
    key = tmp_path / "key"
    key.write_text("a key of more than sixteen bytes")
    return Configuration.from_run({"ids": {"key_file": str(key)}, **sections})


def users_in(path: Path) -> set[str]:
    if path.suffix == ".parquet":
        return set(pq.read_table(path)["user_id"].to_pylist())
    lines = path.read_text().splitlines()
    return {json.loads(line)["user_id"] if path.suffix == ".jsonl" else line.split(",")[0].strip('"') for line in lines}


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_user_is_in_no_exported_file_afterwards(lake: Lake, config: Configuration, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out" / f"lists.{kind}"
    assert _run(["export", "--root", str(lake.root), "--to", str(target)]) == 0
    before = target.read_bytes()
    (place,) = search(lake, ERASED, config)["outside"]
    assert place == {"name": "exports", "found": [str(target)], "unread": []}
    (answer,) = erase(lake, [ERASED], config)["users"]
    assert answer["outside"][0]["rewritten"] == 1
    assert ERASED not in users_in(target) and {STAYS, "u3"} <= users_in(target)
    assert search(lake, ERASED, config)["exit_code"] == 0
    if kind != "parquet":
        kept = [line for line in before.splitlines() if b'"u2"' not in line and not line.startswith(b"u2,")]
        assert target.read_bytes().splitlines() == kept, "rows of others are the same bytes"
    receipt = erasures.receipt_of(lake, user_of(lake, ERASED, config).marker)
    assert receipt is not None and (receipt.outside, receipt.left) == ({"exports": 1}, ())


def test_a_row_of_csv_may_go_over_lines_and_begin_with_an_apostrophe(lake: Lake, config: Configuration, tmp_path: Path) -> None:
    target = tmp_path / "lists.csv"
    target.write_bytes(b'user_id,item_id,title\r\nu1,u2,"two\nlines"\r\nu2,i1,"also\ntwo"\r\n\'u2,i2,x\r\nu3,i1,y\r\n')
    exported.remember(lake, target, "csv", "r1")
    erase(lake, [ERASED], config)
    assert target.read_bytes() == b'user_id,item_id,title\r\nu1,u2,"two\nlines"\r\nu3,i1,y\r\n'


def test_an_export_of_another_machine_is_named_and_one_that_is_gone_is_not(
    lake: Lake, config: Configuration, tmp_path: Path
) -> None:
    exported.remember(lake, tmp_path / "gone.csv", "csv", "r1")
    body = read_json(lake.root / exported.NAME)
    write_json(lake.root / exported.NAME, [*body, {**body[0], "host": "elsewhere", "path": "/data/lists.csv"}])
    answer = erase(lake, [ERASED], config)
    assert answer["notes"] == ["not searched: /data/lists.csv on elsewhere"]


def test_event_logs_of_this_lake_are_rewritten_and_others_are_named(lake: Lake, tmp_path: Path) -> None:
    logs = tmp_path / "event logs"
    logs.mkdir()
    config = configured(tmp_path, spark={"extra": {"spark.eventLog.dir": logs.as_uri()}})
    ours = json.dumps({"plan": f"Scan {lake.root}/tables/events, user_id = u2"})
    (logs / "app-1").write_text(ours)
    (logs / "app-2.inprogress").write_text(ours)
    (logs / "app-3").write_text("another lake, user_id = u2")
    (place,) = outside.sought(lake, user_of(lake, ERASED, config), config, "search")
    assert len(place.found) == 3 and place.left == place.found
    answer = erase(lake, [ERASED], config)
    marker = user_of(lake, ERASED, config).marker
    assert (logs / "app-1").read_text() == ours.replace("u2", marker)
    assert [Path(note.rpartition(" ")[2]).name for note in answer["notes"]] == ["app-2.inprogress", "app-3"]
    assert search(lake, ERASED, config)["exit_code"] == 4, "what is left is still found"
    (logs / "app-2.inprogress").rename(logs / "app-2")
    (logs / "app-3").unlink()
    assert erase(lake, [ERASED], config)["users"][0]["status"] == "erased", "with nothing left in the lake"
    assert search(lake, ERASED, config)["exit_code"] == 0


@pytest.fixture
def server(tmp_path: Path):
    folder = tmp_path / "server"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = MlflowServer(folder, port)
    server.start()
    yield server
    server.kill()


def logged(server: MlflowServer, lake: Lake, folder: Path) -> tuple[str, str]:
    """A run of this lake with files that name u2, a click bundle among them, and one of another lake."""
    import mlflow

    client = mlflow.MlflowClient(server.uri)
    experiment = client.create_experiment("nightrank")
    ours = client.create_run(experiment, tags={LAKE: lake_key(lake), "shown": "users u1, u2"}).info.run_id
    other = client.create_run(experiment, tags={LAKE: "another"}).info.run_id
    client.log_param(ours, "first_user", "u2")
    bundle = folder / "bundle"
    bundle.mkdir(parents=True)
    pq.write_table(
        pa.table({"field": ["user", "item"], "raw_id": ["u2", "u2"], "dense_id": [1, 1]}), bundle / "field_codes.parquet"
    )
    (bundle / "manifest.json").write_bytes(canonical_json({"field_codes.parquet": sha256_file(bundle / "field_codes.parquet")}))
    (folder / "report.html").write_text("<td>u2</td><td>u22</td>")
    for run in (ours, other):
        client.log_artifact(run, str(folder / "report.html"))
    client.log_artifacts(ours, str(bundle), "click/bundle")
    return ours, other


def test_a_remote_mlflow_is_reached_through_its_client(lake: Lake, server: MlflowServer, tmp_path: Path) -> None:
    import mlflow

    config = configured(tmp_path, mlflow={"tracking_uri": server.uri})
    ours, other = logged(server, lake, tmp_path / "draft")
    client = mlflow.MlflowClient(server.uri)
    assert len(outside.sought(lake, user_of(lake, ERASED, config), config, "search")[0].found) == 4
    answer = erase(lake, [ERASED], config)
    marker = user_of(lake, ERASED, config).marker
    place = answer["users"][0]["outside"][0]
    assert (place["name"], place["rewritten"]) == ("MLflow", 2)
    assert place["left"] == [f"run {ours}, parameter first_user"]
    there = Path(client.download_artifacts(ours, "", str(tmp_path)))
    assert (there / "report.html").read_text() == f"<td>{marker}</td><td>u22</td>"
    codes = pq.read_table(there / "click" / "bundle" / "field_codes.parquet")
    assert codes["raw_id"].to_pylist() == [marker, "u2"]
    noted = read_json(there / "click" / "bundle" / "erasure.json")
    assert noted == {"field_codes.parquet": sha256_file(there / "click" / "bundle" / "field_codes.parquet")}
    assert client.get_run(ours).data.tags["shown"] == f"users u1, {marker}"
    kept = tmp_path / "other"
    kept.mkdir()
    assert "u2" in (Path(client.download_artifacts(other, "", str(kept))) / "report.html").read_text()
    receipt = erasures.receipt_of(lake, marker)
    assert receipt is not None and receipt.outside == {"MLflow": 2} and len(receipt.left) == 1


def test_with_mlflow_away_nothing_is_erased(lake: Lake, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        config = configured(tmp_path, mlflow={"tracking_uri": uri, "timeout_seconds": 2})
        with pytest.raises(DependencyUnreachable):
            erase(lake, [ERASED], config)
    assert erasures.receipt_of(lake, user_of(lake, ERASED, config).marker) is None
