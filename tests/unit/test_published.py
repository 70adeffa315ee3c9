"""What left the lake for a Redis follows it: a rollback switches readers, an erasure removes the user there too."""

import json
from pathlib import Path

import pytest
from finished_run import USERS, K, finished_run, write_release
from test_rollback import promoted

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError, DependencyUnreachable, NothingToDo
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.cli import _run
from nightrank.pipeline.erase import erase
from nightrank.pipeline.lists import published, redis_release
from nightrank.pipeline.lists.redis_release import RedisReleases
from nightrank.pipeline.rollback import stores
from tests.redis_server import PROGRAM, RedisServer, redis_server

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no redis-server; apt-get install -y redis-server")


@pytest.fixture
def server(tmp_path: Path):
    with redis_server(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def two(tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two promotions, both published, the second current."""
    monkeypatch.setattr(stores, "answered", lambda program, request, failed: {"moved": []})
    lake = Lake(tmp_path / "two")
    first = promoted(lake, 1, "2024-01-01", None)
    assert _run(publish(lake, server.address)) == 0
    promoted(lake, 2, "2024-01-02", first.manifest_sha256)
    assert _run(publish(lake, server.address)) == 0
    return lake


@pytest.fixture
def keyed(tmp_path: Path) -> Configuration:
    (tmp_path / "key").write_text("a key of more than sixteen bytes")
    return Configuration.from_run({"ids": {"key_file": str(tmp_path / "key")}})


def publish(lake: Lake, address: str) -> list[str]:
    return ["publish", "--root", str(lake.root), "--redis", address]


def test_a_rollback_switches_redis_and_says_so(two: Lake, server: RedisServer, capsys) -> None:
    assert RedisReleases(server.address).current() == "r2"
    capsys.readouterr()
    assert _run(["rollback", "--root", str(two.root), "--json"]) == 0
    place = json.loads(capsys.readouterr().out)["redis"][0]
    assert (place["address"], place["written"], place["replaced"], place["error"]) == (server.address, False, "r2", None)
    assert RedisReleases(server.address).current() == "r1" == delta_read.latest_release(two).release_id
    assert place["seconds"] < 1


def test_a_named_release_is_switched_to_in_redis_and_forward_again(two: Lake, server: RedisServer, capsys) -> None:
    capsys.readouterr()
    assert _run(["rollback", "--root", str(two.root), "--to", "r1"]) == 0
    told = f"Redis {server.address}: nightrank: the lists were there whole and switched to in"
    assert told in capsys.readouterr().out and RedisReleases(server.address).current() == "r1"
    assert _run(["rollback", "--root", str(two.root), "--to", "r1", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["status"], again["stores"][-1]["changed"]) == ("already_done", False)
    server.kill()
    assert _run(["rollback", "--root", str(two.root), "--to", "r2"]) == 8
    server.start()
    assert _run(["rollback", "--root", str(two.root), "--to", "r2"]) == 0, "the same command ends what was left"
    assert RedisReleases(server.address).current() == "r2"


def test_a_dry_run_and_a_lake_that_was_never_published_leave_redis_alone(two: Lake, server: RedisServer) -> None:
    assert _run(["rollback", "--root", str(two.root), "--dry-run"]) == 0
    assert RedisReleases(server.address).current() == "r2"
    (two.root / published.NAME).unlink()
    assert _run(["rollback", "--root", str(two.root)]) == 0
    assert RedisReleases(server.address).current() == "r2"


def test_redis_away_the_lake_goes_back_and_the_command_says_what_is_left(two: Lake, server: RedisServer, capsys) -> None:
    server.kill()
    assert _run(["rollback", "--root", str(two.root)]) == 8
    printed = capsys.readouterr()
    assert "version 1 of 2024-01-01 is the champion" in printed.out and "nightrank publish" in printed.err
    assert delta_read.latest_release(two).release_id == "r1"
    server.start()
    assert _run(publish(two, server.address)) == 0 and RedisReleases(server.address).current() == "r1"


def test_a_password_is_not_kept_and_has_to_be_given(two: Lake, server: RedisServer, monkeypatch, capsys) -> None:
    RedisReleases(server.address)._redis.config_set("requirepass", "open-sesame")
    locked = server.address.replace("//", "//:open-sesame@")
    assert _run(publish(two, locked)) == 0
    assert "open-sesame" not in (two.root / published.NAME).path.read_text()
    assert _run(["rollback", "--root", str(two.root)]) == 2
    assert "NIGHTRANK_REDIS" in capsys.readouterr().err and two.expect_champion().version == 2
    monkeypatch.setenv("NIGHTRANK_REDIS", locked)
    assert _run(["rollback", "--root", str(two.root)]) == 0
    assert RedisReleases(locked).current() == "r1"


def test_an_erased_user_is_in_no_release_in_redis(tmp_path: Path, server: RedisServer, keyed: Configuration) -> None:
    lake = finished_run(tmp_path / "lake")
    store = RedisReleases(server.address)
    old = delta_read.releases(lake)[-1]
    published.remember(lake, server.address, "nightrank", 600)
    store.publish(lake, old)
    write_release(lake, old.model_copy(update={"release_id": "newer", "fence": old.fence + 1}))
    store.publish(lake, delta_read.releases(lake)[-1])
    answer = erase(lake, [USERS[0]], keyed)
    assert (answer["users"][0]["status"], answer["users"][0]["published_lists"]) == ("erased", 2)
    for key in store._redis.keys("nightrank:*:users"):
        assert sorted(store._redis.hkeys(key)) == sorted(USERS[1:])
    assert len(store.of_user(USERS[1])) == K
    with pytest.raises(NothingToDo):
        erase(lake, [USERS[0]], keyed)


def test_what_a_cut_off_erasure_left_in_redis_goes_with_the_next(tmp_path: Path, server: RedisServer, keyed) -> None:
    lake = finished_run(tmp_path / "lake")
    store = RedisReleases(server.address)
    store.publish(lake, delta_read.releases(lake)[-1])
    erase(lake, [USERS[0]], keyed)  # as if cut off: the lake does not yet know of this Redis
    assert store.of_user(USERS[0])
    published.remember(lake, server.address, "nightrank", 600)
    again = erase(lake, [USERS[0]], keyed)
    assert again["users"][0]["published_lists"] == 1 and store.of_user(USERS[0]) == []


def test_with_redis_away_nothing_is_erased(tmp_path: Path, server: RedisServer, keyed) -> None:
    lake = finished_run(tmp_path / "lake")
    published.remember(lake, server.address, "nightrank", 600)
    server.kill()
    with pytest.raises(DependencyUnreachable, match="Redis"):
        erase(lake, [USERS[0]], keyed)
    assert delta_read.recommendations_for(lake, USERS[0])[1]


def test_a_publish_beside_an_erasure_switches_nothing(tmp_path: Path, server: RedisServer, keyed, monkeypatch) -> None:
    lake = finished_run(tmp_path / "lake")
    store = RedisReleases(server.address)
    monkeypatch.setattr(redis_release, "BATCH", 1)
    erased: list[int] = []

    def meanwhile(done: int) -> None:
        if not erased:
            erased.append(erase(lake, [USERS[0]], keyed)["users"][0]["status"])

    with pytest.raises(ConflictError, match="erased while"):
        store.publish(lake, delta_read.releases(lake)[-1], meanwhile)
    assert store.current() is None
    store.publish(lake, delta_read.releases(lake)[-1])
    assert store.of_user(USERS[0]) == [] and len(store.of_user(USERS[1])) == K


def test_each_address_is_remembered_once_with_its_newest_terms(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for address, seconds in (("redis://a:1/0", 60), ("redis://b:1/0", 60), ("redis://a:1/0", 90)):
        published.remember(lake, address, "shop", seconds)
    assert [(each["address"], each["kept_seconds"]) for each in read_json(tmp_path / published.NAME)] == [
        ("redis://a:1/0", 90),
        ("redis://b:1/0", 60),
    ]
