"""A lake on a real HDFS: the same content as on a disk; a name node that is away; a writer that died in a swap."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location, hdfs_store, locate, stores
from nightrank.feature_store.contracts.storage.hdfs_calls import beside
from tests import hdfs_server
from tests.bucket.lakes import runs, simulated
from tests.commands import hashes, nightrank
from tests.hdfs_server import Hdfs

OnDisk = tuple[Lake, list[dict[str, str]]]
pytestmark = [pytest.mark.bucket, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    folder = tmp_path_factory.mktemp("hdfs")
    with pytest.MonkeyPatch.context() as patch, hdfs_server.hdfs_server(folder) as made:
        hdfs_server.use(patch)
        patch.setenv("NIGHTRANK_NODE_CACHE", str(folder / "node_cache"))
        yield made


@pytest.fixture
def place(hdfs: Hdfs, tmp_path: Path) -> Location:
    return locate(f"{hdfs.address}/{tmp_path.name}/lease.json")


def test_the_swap_of_a_writer_that_died_is_completed_by_the_next(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had claimed the key and died before the second rename, so its content is the one that follows."""
    monkeypatch.setattr(hdfs_store, "SWAP_SECONDS", 0.2)
    place.write_bytes(b"1 of a")
    first = place.read().version
    (place.parent / Path(beside(place.key, f"{first.tag[:32]}.swap")).name).write_bytes(b"2 of the dead")
    assert place.swap(b"2 of b", first) is None
    second = place.read()
    assert second.data == b"2 of the dead" and place.swap(b"3 of b", second.version) is not None
    assert place.parent.children() == [place], "no claim is left"


def test_what_this_user_may_not_write_is_a_configuration_error(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_bytes(b"1")
    monkeypatch.setenv("HADOOP_USER_NAME", "someone")
    stores._hdfs.cache_clear()
    with pytest.raises(ConfigError, match=r"does not allow this: .*user=someone"):
        place.write_bytes(b"2")
    monkeypatch.undo()
    stores._hdfs.cache_clear()
    assert place.read_bytes() == b"1"


def test_a_name_node_that_comes_back_is_waited_for_and_one_that_does_not_ends_with_8(hdfs: Hdfs, place: Location) -> None:
    place.write_bytes(b"1")
    hdfs.end_name_node()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTRANK_STORAGE_SECONDS", "1")
        with pytest.raises(DependencyUnreachable, match="does not answer"):
            place.write_bytes(b"2")
        patch.setenv("NIGHTRANK_STORAGE_SECONDS", "90")
        threading.Timer(2, hdfs.start_name_node).start()
        place.write_bytes(b"3")
    assert place.read_bytes() == b"3"


def test_runs_on_hdfs_leave_the_content_that_runs_on_a_disk_leave(hdfs: Hdfs, tmp_path: Path, on_disk: OnDisk) -> None:
    lake, options = simulated(f"{hdfs.address}/market", tmp_path)
    results = [nightrank(lake, *each, expect=(0, 7)) for each in runs(lake, options)]
    assert [hashes(lake, result) for result in results] == on_disk[1]
    for result in results:
        assert nightrank(lake, "verify", "--run", result["run_id"])["failed"] == []
    before = {place: entry.tag for place, entry in lake.root.walk()}
    assert nightrank(lake, "nightly", "--date", results[-1]["date"], *options)["status"] == "already_done"
    assert {place: entry.tag for place, entry in lake.root.walk()} == before
