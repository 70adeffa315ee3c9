"""Erasing on a small whole lake made by delta-rs: nothing of the user is left, all else is the same, and it can be cut off."""

import gzip
import hmac
import json
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import erasures, schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConfigError, ConflictError, NothingToDo, SafetyRefusal
from nightrank.feature_store.contracts.files import canonical_json, read_json, sha256_file, write_json
from nightrank.feature_store.contracts.holds import Hold, hold_of, save_hold
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.manifests import listed
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.erasure import rewrite
from nightrank.feature_store.guards.landed import landing_of
from nightrank.pipeline.erase import erase, user_of
from nightrank.pipeline.run.request import RunRequest, check_ready
from nightrank.pipeline.search_erased import search
from nightrank.pipeline.verify import verify_run
from nightrank.spark_jobs.ingest.user_key import remember
from tests.unit.finished_run import DAY, RUN, finished_run, write_lists

ERASED, STAYS = "u2", "u1"


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    key = tmp_path / "key"
    key.write_text("a key of more than sixteen bytes")
    return Configuration.from_run({"ids": {"key_file": str(key)}})


@pytest.fixture
def lake(tmp_path: Path, config: Configuration) -> Lake:
    """A finished run with events, landing files, a log, a click bundle and MLflow's file that name u2."""
    lake = finished_run(tmp_path / "lake")
    rows = [
        {**dict.fromkeys(schemas.EVENTS.names), "event_id": f"e{n}", "user_id": f"u{n % 3 + 1}", "item_id": "u2"}
        for n in range(9)
    ]
    write_deltalake(str(lake.table("events")), pa.Table.from_pylist(rows[:6], schemas.EVENTS))
    write_deltalake(str(lake.table("events")), pa.Table.from_pylist(rows[6:], schemas.EVENTS), mode="append")
    DeltaTable(str(lake.table("events"))).create_checkpoint()
    landing = lake.landing_day("events", DAY)
    landing.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schemas.EVENTS), landing.path / "part-0.parquet", row_group_size=3)
    (lake.run_dir(RUN) / "logs" / "score.log").write_bytes(b"user u2 has no list; u22 and i-u2 have\n")
    (lake.root / "mlflow" / "page.html.gz").write_bytes(gzip.compress(b"<td data-user='u2'>u2</td>"))
    with sqlite3.connect(lake.mlflow.path / "mlflow.db") as database:
        database.execute("CREATE TABLE tags (key TEXT, value TEXT)")
        database.execute("INSERT INTO tags VALUES ('shown', 'users u1, u2'), ('n', '2')")
    folder = lake.bundles / "click"
    folder.mkdir()
    codes = pa.table({"field": ["user", "user", "item"], "raw_id": ["u1", "u2", "u2"], "dense_id": [1, 2, 1]})
    pq.write_table(codes, folder.path / "field_codes.parquet")
    (folder / "manifest.json").write_bytes(
        canonical_json({"field_codes.parquet": sha256_file(folder.path / "field_codes.parquet")})
    )
    return lake


def all_rows(lake: Lake, table: str, version: int | None = None) -> list[dict]:
    return DeltaTable(str(lake.table(table)), version=version).to_pyarrow_table().to_pylist()


def rows_by_file(found: list[dict]) -> dict[str, int]:
    return {hit["path"]: hit["rows"] for hit in found if hit["rows"]}


def of_others(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["user_id"] != ERASED]


def test_nothing_of_the_user_is_left_and_the_rows_of_others_are_the_same(lake: Lake, config: Configuration) -> None:
    events, lists = ([all_rows(lake, "events", at) for at in (0, 1)], all_rows(lake, "recommendations"))
    assert search(lake, ERASED, config)["exit_code"] == 4
    before = search(lake, STAYS, config)["found"]
    answer = erase(lake, [ERASED], config)
    assert search(lake, ERASED, config)["found"] == []
    assert ERASED.encode() not in (lake.root / "mlflow" / "mlflow.db").read_bytes()
    assert [all_rows(lake, "events", at) for at in (0, 1)] == [of_others(rows) for rows in events]
    assert all_rows(lake, "recommendations") == of_others(lists)
    assert rows_by_file(search(lake, STAYS, config)["found"]) == rows_by_file(before)
    assert {row["item_id"] for row in all_rows(lake, "events")} == {"u2"}, "an item may have the name of a user"
    assert answer["users"][0]["rows"]["tables/events"] == 3 and answer["users"][0]["rows"]["tables/recommendations"] == 4
    assert verify_run(lake).failed == ()


def test_the_vocabulary_keeps_the_number_and_the_receipt_names_no_id(lake: Lake, config: Configuration) -> None:
    erase(lake, [ERASED], config)
    marker = user_of(lake, ERASED, config).marker
    assert [(row["raw_id"], row["dense_id"]) for row in all_rows(lake, "vocabulary")] == [("u1", 1), (marker, 2), ("u3", 3)]
    receipt = erasures.receipt_of(lake, marker)
    assert receipt is not None and (receipt.status, receipt.lists) == ("done", {"r1": 4})
    assert receipt.versions["recommendations"] == (0, 0)
    assert ERASED not in json.dumps(receipt.model_dump()).replace(marker, "")
    assert user_of(lake, ERASED, config).dense == 2


def test_a_log_is_in_step_with_its_files_also_in_checkpoints(lake: Lake, config: Configuration) -> None:
    erase(lake, [ERASED], config)
    for at in (0, 1):
        adds = pa.table(DeltaTable(str(lake.table("events")), version=at).get_add_actions(flatten=True)).to_pylist()
        for add in adds:
            place = lake.table("events") / add["path"]
            assert add["size_bytes"] == place.size and add["num_records"] == pq.read_metadata(place.path).num_rows
            assert (add["min.user_id"], add["max.user_id"]) == ("u1", "u3")
    assert delta_read.recommendations_for(lake, ERASED)[1] == []
    assert len(delta_read.recommendations_for(lake, STAYS)[1]) == 4


def test_a_snapshot_keeps_its_id_and_pins_what_is_there_now(lake: Lake, config: Configuration) -> None:
    place = next(iter(lake.snapshots.glob("*.json")))
    before = load_snapshot(place)
    erase(lake, [ERASED], config)
    after = load_snapshot(place)
    assert (after.id, after.rows("train"), before.rows("train")) == (before.id, 1, 2)
    assert after.erasure is not None and after.erasure.rows == {"train": 1}
    body = read_json(place)
    write_json(place, {**body, "seed": 6})
    with pytest.raises(Exception, match="was changed after it was written"):
        load_snapshot(place)


def test_a_bundle_keeps_its_name_and_says_what_changed(lake: Lake, config: Configuration) -> None:
    folder = lake.bundles / "click"
    name = sha256_file(folder.path / "manifest.json")
    erase(lake, [ERASED], config)
    codes = pq.read_table(folder.path / "field_codes.parquet").to_pylist()
    assert [row["raw_id"] for row in codes] == ["u1", user_of(lake, ERASED, config).marker, "u2"]
    assert sha256_file(folder.path / "manifest.json") == name
    assert listed(folder) == {"field_codes.parquet": sha256_file(folder.path / "field_codes.parquet")}


def test_the_same_user_again_is_nothing_to_do_and_so_is_an_unknown_one(lake: Lake, config: Configuration) -> None:
    erase(lake, [ERASED], config)
    files = {place.key: entry.tag for place, entry in lake.root.walk() if place.name not in ("lease.json",)}
    for user in (ERASED, "nobody"):
        with pytest.raises(NothingToDo):
            erase(lake, [user], config)
    assert {place.key: entry.tag for place, entry in lake.root.walk() if place.name not in ("lease.json",)} == files


@pytest.mark.parametrize(
    "place", ["erase.begun", "erase.after_file", "erase.after_tables", "erase.after_pins", "erase.before_done"]
)
def test_cut_off_anywhere_it_blocks_runs_and_the_same_command_finishes(
    lake: Lake, config: Configuration, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    class Killed(BaseException):
        pass

    def reached(name: str) -> None:
        if name == place:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(rewrite, "failpoint", reached)
        with pytest.raises(Killed):
            erase(lake, [ERASED], config)
    with pytest.raises(ConflictError, match="was cut off"):
        check_ready(RunRequest(lake.root, "full", DAY, config))
    erase(lake, [ERASED], config)
    assert search(lake, ERASED, config)["found"] == [] and verify_run(lake).failed == ()
    receipt = erasures.receipt_of(lake, user_of(lake, ERASED, config).marker)
    assert receipt is not None and (receipt.rows["tables/events"], receipt.lists) == (3, {"r1": 4})
    check_ready(RunRequest(lake.root, "full", DAY, config))


def test_the_live_model_is_marked_until_a_full_run_began_later(lake: Lake, config: Configuration) -> None:
    ref = lake.run_dir(RUN) / "model_ref.json"
    write_json(lake.champion_path, read_json(ref))
    run = lake.run_dir(RUN) / "run.json"
    write_json(run, {**read_json(run), "started": "2024-01-03T00:00:00+00:00"})
    assert erasures.trained_on_erased(lake) == 0
    answer = erase(lake, [ERASED], config)
    assert answer["users"][0]["trained"] and erasures.trained_on_erased(lake) == 1
    night = lake.run_dir("nightly-2024-01-04") / "run.json"
    write_json(night, {"kind": "nightly", "found": {"champion": {"run_id": RUN}}})
    write_json(lake.champion_path, {**read_json(ref), "run_id": "nightly-2024-01-04"})
    assert erasures.trained_on_erased(lake) == 1
    write_json(run, {**read_json(run), "started": "2999-01-03T00:00:00+00:00"})
    assert erasures.trained_on_erased(lake) == 0


def test_where_ids_are_hashed_both_the_id_and_its_hash_are_erased(lake: Lake, tmp_path: Path) -> None:
    key = (tmp_path / "key").read_bytes()
    pseudonym = hmac.new(key, ERASED.encode(), "sha256").hexdigest()
    rows = [{**dict.fromkeys(schemas.RECOMMENDATIONS.names), "user_id": name, "rank": 1} for name in (pseudonym, "f" * 64)]
    write_lists(lake, rows)
    remember(lake, key)
    config = Configuration.from_run({"ids": {"hash_users": True, "key_file": str(tmp_path / "key")}})
    answer = erase(lake, [ERASED], config)
    assert answer["users"][0]["user"] != "erased:" + pseudonym
    assert [row["user_id"] for row in all_rows(lake, "recommendations")] == ["f" * 64]
    assert search(lake, ERASED, config)["found"] == []
    held = [place.key for place, _ in lake.root.walk() if pseudonym[:32].encode() in place.read_bytes()]
    assert held == []


def test_what_is_kept_by_the_names_of_files_is_made_again(lake: Lake, config: Configuration) -> None:
    for table in ("events", "items"):
        write_json(lake.root / "content" / f"{table}.json", {"files": {}})
    erase(lake, [ERASED], config)
    assert [place.name for place in (lake.root / "content").children()] == ["items.json"]


def test_a_guards_decision_is_still_about_the_day(lake: Lake, config: Configuration) -> None:
    before = landing_of(lake, DAY)
    save_hold(lake, Hold(date=DAY, status="accepted", landing=before, reasons=("volume",), run_id="nightly-2024-01-03"))
    erase(lake, [ERASED], config)
    hold = hold_of(lake, DAY)
    assert hold is not None and hold.status == "accepted"
    assert hold.landing == landing_of(lake, DAY) != before


def test_a_dry_run_counts_and_changes_nothing(lake: Lake, config: Configuration) -> None:
    before = {place.key: entry.tag for place, entry in lake.root.walk()}
    answer = erase(lake, [ERASED], config, dry_run=True)
    assert answer["users"][0]["rows"]["landing/events"] == 3 and answer["users"][0]["files"]["runs"] == 1
    assert {place.key: entry.tag for place, entry in lake.root.walk()} == before


def test_a_key_is_needed_and_stays_the_same(lake: Lake, config: Configuration, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key_file is not set"):
        erase(lake, [ERASED], Configuration.from_run({}))
    erase(lake, [ERASED], config)
    (tmp_path / "other").write_text("another key of sixteen bytes")
    with pytest.raises(SafetyRefusal, match="another key"):
        erase(lake, [STAYS], Configuration.from_run({"ids": {"key_file": str(tmp_path / "other")}}))
