"""The service over a released lake with a real bundle: who gets what, the limits, and a new release without a restart."""

import json
import os
import signal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from finished_run import USERS, K, finished_run, write_release
from starlette.testclient import TestClient

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import list_schemas
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.rule_rows import write_rules
from nightrank.pipeline.cli import _run
from nightrank.pipeline.serve.app import MOST_BYTES, MOST_HISTORY, service
from nightrank.pipeline.serve.served import Keeper, Served
from tests.evaluation_lake import bundle


def others(lake: Lake) -> None:
    similar = [{"item_id": "i1", "rank": rank, "similar_id": f"i{rank + 1}", "score": 0.1, "reason": "why"} for rank in (2, 1)]
    popular = [{"segment": name, "rank": rank, "item_id": f"i{rank}", "count": 9} for name in ("", "de") for rank in (1, 2, 3)]
    for name, schema, rows in (
        ("similar_items", list_schemas.SIMILAR_ITEMS, similar),
        ("popular_items", list_schemas.POPULAR_ITEMS, popular),
    ):
        full = [{key: row.get(key) for key in schema.names} for row in rows]
        write_deltalake(str(lake.table(name)), pa.Table.from_pylist(full, schema))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    found = finished_run(tmp_path_factory.mktemp("served") / "lake")
    manifest = Path(bundle(found.root.path, seed=1)).name
    others(found)
    values = {"manifest_sha256": manifest, "fence": 2, "similar_items_version": 0, "popular_items_version": 0}
    write_release(found, delta_read.releases(found)[0].model_copy(update=values))
    return found


@pytest.fixture
def keeper(lake: Lake):
    keeper = Keeper(lake, [], [], seconds=60)
    yield keeper
    keeper.end()


@pytest.fixture
def client(keeper: Keeper) -> TestClient:
    return TestClient(service(keeper))


def test_a_known_user_an_unknown_one_a_session_an_item_and_a_segment(client: TestClient, lake: Lake) -> None:
    known = client.get("/recommend", params={"user": USERS[0], "k": 3}).json()
    released = delta_read.recommendations_for(lake, USERS[0])[1][:3]
    assert known["known"] and [row["item_id"] for row in known["items"]] == [row["item_id"] for row in released]
    unknown = client.get("/recommend", params={"user": "nobody"}).json()
    assert not unknown["known"] and [row["item_id"] for row in unknown["items"]] == ["i1", "i2", "i3"]
    assert {row["fallback"] for row in unknown["items"]} == {"popular"}
    session = client.post("/recommend", json={"history": ["i3", "i8"], "k": 4}).json()
    assert session["known"] and len(session["items"]) == 4 and not {"i3", "i8"} & {row["item_id"] for row in session["items"]}
    similar = client.get("/similar", params={"item": "i1"}).json()
    assert [(row["rank"], row["item_id"], row["reason"]) for row in similar["items"]] == [(1, "i2", "why"), (2, "i3", "why")]
    assert client.get("/similar", params={"item": "i39"}).status_code == 404
    assert len(client.get("/popular", params={"segment": "de", "k": 2}).json()["items"]) == 2
    assert client.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda c: c.get("/recommend"), 422),
        (lambda c: c.get("/recommend", params={"user": "u", "k": 101}), 422),
        (lambda c: c.get("/recommend", params={"user": "u" * 257}), 422),
        (lambda c: c.post("/recommend", json={"history": []}), 422),
        (lambda c: c.post("/recommend", json={"history": ["i1"] * (MOST_HISTORY + 1)}), 422),
        (lambda c: c.post("/recommend", json={"history": ["i1"], "more": 1}), 422),
        (lambda c: c.post("/recommend", content=b" " * (MOST_BYTES + 1)), 413),
        (lambda c: c.post("/recommend", content=iter([b" " * MOST_BYTES, b" "])), 413),
    ],
)
def test_what_breaks_a_limit_is_refused(client: TestClient, call, code: int) -> None:
    assert call(client).status_code == code


def test_a_model_process_that_dies_is_started_again(client: TestClient, keeper: Keeper) -> None:
    before = client.post("/recommend", json={"history": ["i3"]}).json()
    os.kill(keeper.now.worker._process.pid, signal.SIGKILL)
    assert client.post("/recommend", json={"history": ["i3"]}).json() == before


def test_a_new_release_is_followed_and_one_that_cannot_be_opened_is_told(
    client: TestClient, keeper: Keeper, lake: Lake
) -> None:
    now = delta_read.releases(lake)[-1]
    best = client.post("/recommend", json={"history": ["i3"]}).json()["items"][0]["item_id"]
    catalogue_item = next(f"i{n}" for n in range(1, 7) if f"i{n}" not in (best, "i3"))
    version = write_rules(lake, [ListRule(kind="deny", item=catalogue_item)])
    write_release(lake, now.model_copy(update={"release_id": "next", "fence": 3, "list_rules_version": version}))
    keeper.look()
    assert client.get("/health").json()["release_id"] == "next"
    whole = client.post("/recommend", json={"history": ["i3"], "k": 40}).json()["items"]
    assert catalogue_item not in {row["item_id"] for row in whole}, "rules hold for sessions too"
    write_release(lake, now.model_copy(update={"release_id": "broken", "fence": 4, "manifest_sha256": "0" * 64}))
    keeper.look()
    health = client.get("/health")
    assert (health.status_code, health.json()["release_id"]) == (503, "next") and health.json()["fault"]
    assert client.post("/recommend", json={"history": ["i3"]}).status_code == 200


def test_a_release_of_an_older_version_has_lists_of_users_alone(lake: Lake) -> None:
    now = delta_read.releases(lake)[0]
    bare = now.model_copy(update={"similar_items_version": None, "popular_items_version": None})
    served = Served(lake, bare.model_copy(update={"manifest_sha256": delta_read.releases(lake)[1].manifest_sha256}), [], [])
    try:
        assert served.recommend(USERS[0], K)["known"] and not served.like("i1", K)["known"]
        assert len(served.recommend("nobody", K)["items"]) == K, "the model's own popular items"
    finally:
        served.worker.end()


def test_the_command_line_reads_the_same_tables(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["recommend", "--root", str(lake.root), "--similar-to", "i1", "--json"]) == 0
    assert [row["item_id"] for row in json.loads(capsys.readouterr().out)["items"]] == ["i2", "i3"]
    assert _run(["recommend", "--root", str(lake.root), "--segment", "de", "--k", "1", "--json"]) == 0
    assert [row["count"] for row in json.loads(capsys.readouterr().out)["items"]] == [9]
    assert _run(["recommend", "--root", str(lake.root), "--similar-to", "i40"]) == 2
    assert _run(["recommend", "--root", str(lake.root), "--segment", "xx"]) == 2
    assert K > 0
