"""A bucket's files on this machine: fetched once for all processes, by content, within bounds."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.contracts.storage import node_cache as caches
from nightrank.feature_store.contracts.storage.node_cache import NodeCache, node_cache
from tests.s3_server import environment, proxy, s3_server, use

FILLER = """
import sys
from pathlib import Path
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.contracts.storage.node_cache import NodeCache
copy = NodeCache(Path(sys.argv[1]), 1 << 30).local_copy(locate(sys.argv[2]))
print(copy, copy.stat().st_size)
"""


@pytest.fixture(scope="module")
def server():
    with s3_server("rows") as port:
        yield port


@pytest.fixture
def traffic(server, monkeypatch):
    with proxy(server) as (port, faults):
        use(monkeypatch, port)
        yield port, faults


@pytest.fixture
def root(traffic, tmp_path):
    return locate(f"s3://rows/{tmp_path.name}")


@pytest.fixture
def cache(tmp_path):
    return NodeCache(tmp_path / "cache", 1000)


def fetched(faults, name):
    return sum(line.startswith("GET") and line.split("?")[0].endswith(name) for line in faults.seen)


def test_a_file_of_a_disk_is_its_own_copy(cache, tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    assert cache.local_copy(locate(tmp_path / "x")) == tmp_path / "x"
    assert not cache.folder.exists()


def test_a_second_look_fetches_nothing(cache, root, traffic):
    (root / "a.parquet").write_bytes(b"x" * 100)
    first = cache.local_copy(root / "a.parquet")
    assert (first.read_bytes(), first.suffix) == (b"x" * 100, ".parquet")
    assert cache.local_copy(root / "a.parquet") == first
    assert fetched(traffic[1], "a.parquet") == 1


def test_another_content_is_another_copy(cache, root):
    (root / "a").write_bytes(b"old")
    old = cache.local_copy(root / "a")
    (root / "a").write_bytes(b"new")
    assert (cache.local_copy(root / "a").read_bytes(), old.read_bytes()) == (b"new", b"old")


def test_an_absent_file_is_absent(cache, root):
    with pytest.raises(FileNotFoundError, match="s3://rows/"):
        cache.local_copy(root / "no")


def test_several_processes_fetch_a_file_once(cache, root, traffic):
    port, faults = traffic
    (root / "big").write_bytes(os.urandom(3 << 20))
    faults.method, faults.delay = "GET", 0.5
    command = [sys.executable, "-c", FILLER, str(cache.folder), str(root / "big")]
    together = [
        subprocess.Popen(command, env={**os.environ, **environment(port)}, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert len({process.communicate(timeout=120)[0] for process in together}) == 1
    assert {process.returncode for process in together} == {0}
    ranges = fetched(faults, "big")
    faults.seen.clear()
    cache.local_copy(root / "big")
    alone = NodeCache(cache.folder.parent / "alone", 1 << 30).local_copy(root / "big")
    assert alone.stat().st_size == 3 << 20
    assert ranges == fetched(faults, "big"), "four at once ask for what one alone asks for"


def test_the_files_used_longest_ago_make_room_and_young_ones_stay(cache, root, monkeypatch):
    for name in "abc":
        (root / name).write_bytes(name.encode() * 400)
    first, second = cache.local_copy(root / "a"), cache.local_copy(root / "b")
    third = cache.local_copy(root / "c")
    assert [path.exists() for path in (first, second, third)] == [True, True, True], "all are young"
    long_ago = time.time() - caches.YOUNG_SECONDS - 10
    for age, path in enumerate((second, first, third)):
        os.utime(path.parent, (long_ago + age, long_ago + age))
    (root / "d").write_bytes(b"d" * 400)
    with open(second, "rb") as reading:
        cache.local_copy(root / "d")
        assert [path.exists() for path in (first, second, third)] == [False, False, True]
        assert reading.read() == b"b" * 400, "who has it open reads on"
    assert cache.local_copy(root / "b").read_bytes() == b"b" * 400


def test_a_fetch_that_breaks_leaves_nothing_and_the_next_one_ends(cache, root, traffic, monkeypatch):
    monkeypatch.setenv("NIGHTRANK_STORAGE_SECONDS", "1")
    use(monkeypatch, traffic[0])
    (root / "a").write_bytes(b"x" * 100)
    traffic[1].method, traffic[1].refuse = "GET", 10_000
    with pytest.raises(DependencyUnreachable):
        cache.local_copy(root / "a")
    assert [path for path in cache.folder.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    traffic[1].refuse = 0
    assert cache.local_copy(root / "a").read_bytes() == b"x" * 100


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named_with_the_way_out(cache, root, monkeypatch):
    (root / "a").write_bytes(b"x" * 100)
    bucket = type(root.store)
    whole = bucket.download
    monkeypatch.setattr(bucket, "download", lambda self, key, target: whole(self, key, Path("/dev/full")))
    with pytest.raises(DependencyUnreachable, match="no room is left on the disk of the node cache") as caught:
        cache.local_copy(root / "a")
    assert caches.FOLDER in caught.value.remedy


def test_the_environment_says_where_and_how_much(tmp_path, monkeypatch):
    monkeypatch.setenv(caches.FOLDER, str(tmp_path))
    monkeypatch.setenv(caches.GIBIBYTES, "0.5")
    assert node_cache() == NodeCache(tmp_path, 1 << 29)
    monkeypatch.setenv(caches.GIBIBYTES, "much")
    with pytest.raises(ConfigError, match=caches.GIBIBYTES):
        node_cache()


FULL = """
import sys
from pathlib import Path
from nightrank.feature_store.contracts.errors import DependencyUnreachable
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.contracts.storage.node_cache import NodeCache
cache = NodeCache(Path(sys.argv[1]), 1 << 30)
try:
    print(cache.local_copy(locate(sys.argv[2])).stat().st_size)
except DependencyUnreachable as full:
    left = [path for path in cache.folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    print(full.exit_code, full.message, len(left))
"""
SMALL_DISK = 'mount -t tmpfs -o size=1m none "$0" && "$@" && mount -o remount,size=9m "$0" && "$@"'
"""A disk of one mebibyte, seen by one process; then it is enlarged."""


def namespaces_of_ones_own() -> bool:
    return subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not namespaces_of_ones_own(), reason="needs a mount of its own (unshare)")
def test_a_small_disk_that_runs_full_keeps_nothing_of_the_fetch_and_has_the_file_once_there_is_room(root, traffic, tmp_path):
    (root / "big").write_bytes(os.urandom(3 << 20))
    disk = tmp_path / "disk"
    disk.mkdir()
    program = [sys.executable, "-c", FULL, str(disk), str(root / "big")]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, str(disk), *program]
    done = subprocess.run(command, env={**os.environ, **environment(traffic[0])}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    full, whole = done.stdout.splitlines()
    assert full == f"8 no room is left on the disk of the node cache {disk} 0" and whole == str(3 << 20)
