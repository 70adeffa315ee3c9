"""A release in a real Redis: whole or not at all, whatever dies on the way; going back is a switch."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from finished_run import USERS, K, finished_run, write_release

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import ConfigError, ConflictError, DependencyUnreachable
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.cli import _run
from nightrank.pipeline.lists import redis_release
from nightrank.pipeline.lists.redis_release import RedisReleases
from tests.redis_server import PROGRAM, RedisServer, redis_server

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no redis-server; apt-get install -y redis-server")


@pytest.fixture
def server(tmp_path: Path):
    with redis_server(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return finished_run(tmp_path / "lake")


def next_release(lake: Lake, name: str, fence: int):
    made = delta_read.releases(lake)[-1].model_copy(update={"release_id": name, "fence": fence})
    write_release(lake, made)
    return made


def listed(store: RedisReleases) -> dict[str, list[str]]:
    return {user: [row["item_id"] for row in store.of_user(user)] for user in USERS}


def released(lake: Lake) -> dict[str, list[str]]:
    return {user: [row["item_id"] for row in delta_read.recommendations_for(lake, user)[1]] for user in USERS}


def test_the_command_publishes_once_and_readers_see_the_lists(server: RedisServer, lake: Lake, capsys) -> None:
    words = ["publish", "--root", str(lake.root), "--redis", server.address, "--json"]
    assert _run([*words, "--dry-run"]) == 0 and RedisReleases(server.address).current() is None
    capsys.readouterr()
    assert _run(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert _run(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert (first["written"], again["written"], again["replaced"]) == (True, False, None)
    store = RedisReleases(server.address)
    assert listed(store) == released(lake) and all(len(items) == K for items in listed(store).values())
    assert store.of_user("nobody") == []
    assert {store._redis.ttl(key) for key in store._redis.keys("nightrank:*")} == {-1}


def test_a_newer_release_takes_over_the_old_one_expires_and_going_back_is_a_switch(server: RedisServer, lake: Lake) -> None:
    store = RedisReleases(server.address, kept_seconds=600)
    old = delta_read.releases(lake)[-1]
    store.publish(lake, old)
    new = next_release(lake, "newer", old.fence + 1)
    assert store.publish(lake, new)["replaced"] == old.release_id
    assert store.current() == "newer"
    assert 0 < store._redis.ttl(store._key(old, "users")) <= 600 and store._redis.ttl(store._key(new, "users")) == -1
    with pytest.raises(ConflictError, match="newer than"):
        store.publish(lake, old)
    began = time.monotonic()
    back = store.publish(lake, old.model_copy(update={"fence": new.fence + 1}))
    assert time.monotonic() - began < 1 and not back["written"] and store.current() == old.release_id
    assert store._redis.ttl(store._key(old, "users")) == -1


def test_redis_gone_on_the_way_leaves_the_old_release_whole(server: RedisServer, lake: Lake, monkeypatch, capsys) -> None:
    store = RedisReleases(server.address)
    old = delta_read.releases(lake)[-1]
    store.publish(lake, old)
    before = listed(store)
    new = next_release(lake, "newer", old.fence + 1)
    monkeypatch.setattr(redis_release, "BATCH", 1)
    with pytest.raises(DependencyUnreachable, match="Redis") as fault:
        store.publish(lake, new, lambda done: server.kill() if done == 2 else None)
    assert fault.value.exit_code == 8
    assert _run(["publish", "--root", str(lake.root), "--redis", server.address]) == 8
    server.start()
    store = RedisReleases(server.address)
    assert (store.current(), listed(store)) == (old.release_id, before)
    assert 0 < store._redis.hlen(store._key(new, "users")) < len(USERS), "what was begun is there and nobody sees it"
    assert store._redis.ttl(store._key(new, "users")) > 0, "and expires if nobody goes on"
    assert store.publish(lake, new)["written"] and store.current() == "newer" and listed(store) == before


def test_a_publisher_killed_before_the_switch_is_finished_by_the_same_command(server: RedisServer, lake: Lake) -> None:
    words = [sys.executable, "-m", "nightrank.pipeline.cli", "publish", "--root", str(lake.root), "--redis", server.address]
    dead = subprocess.run(words, env={**os.environ, "NIGHTRANK_FAILPOINT": "publish.before_switch"}, check=False)
    store = RedisReleases(server.address)
    assert dead.returncode == -9 and store.current() is None
    assert subprocess.run(words, check=False).returncode == 0
    assert store.current() == delta_read.releases(lake)[-1].release_id and listed(store) == released(lake)


def test_a_wrong_address_or_password_is_named(server: RedisServer) -> None:
    with pytest.raises(ConfigError, match="--redis"):
        RedisReleases("localhost:6379")
    RedisReleases(server.address)._redis.config_set("requirepass", "right")
    with pytest.raises(ConfigError, match="password") as fault:
        RedisReleases(server.address.replace("//", "//:wrong@")).current()
    assert "wrong" not in str(fault.value).replace("WRONGPASS", "")
