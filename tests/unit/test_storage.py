"""One set of laws for a disk and a bucket on a real S3 server; in `make test-bucket` also for HDFS and Azure's storage."""

import threading
import urllib.request
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts.errors import ConfigError, UsageError
from nightrank.feature_store.contracts.storage import Location, discard, locate, stores, workplace
from tests import azure_server, hdfs_server
from tests.s3_server import s3_server, use


@pytest.fixture(scope="module")
def server():
    with s3_server("lakes") as port:
        yield port


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory):
    with hdfs_server.hdfs_server(tmp_path_factory.mktemp("hdfs")) as made:
        yield made


@pytest.fixture(scope="module")
def azure():
    with azure_server.azurite() as environment:
        yield f"abfss://lakes@{azure_server.ACCOUNT}.dfs.core.windows.net", environment


OTHERS = [pytest.param(name, marks=pytest.mark.bucket) for name in ("hdfs", "azure")]


@pytest.fixture(params=["disk", "s3", *OTHERS])
def root(request, tmp_path, monkeypatch):
    if request.param == "azure":
        address, environment = request.getfixturevalue("azure")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stores._bucket.cache_clear()
        return locate(f"{address}/{tmp_path.name}")
    if request.param == "disk":
        return locate(tmp_path / "lake")
    if request.param == "hdfs":
        hdfs_server.use(monkeypatch)
        return locate(f"{request.getfixturevalue('hdfs').address}/lakes/{tmp_path.name}")
    use(monkeypatch, request.getfixturevalue("server"))
    return locate(f"s3://lakes/{tmp_path.name}")


def test_what_was_written_is_read_and_found(root):
    place = root / "a" / "b.json"
    assert not place.exists() and place.find() is None
    place.write_bytes(b'{"x": 1}')
    assert (place.read_json(), place.is_file(), place.find().size) == ({"x": 1}, True, 8)
    assert (root / "a").exists() and not (root / "a").is_file(), "a folder is there as soon as something is below it"
    place.write_bytes(b"{}")
    assert place.read_bytes() == b"{}"


def test_an_absent_file_is_file_not_found(root):
    for ask in (root / "no").read_bytes, (root / "no").open:
        with pytest.raises(FileNotFoundError):
            ask()
    (root / "no").unlink()
    (root / "no").remove_tree()
    assert (root / "no").children() == [] and list((root / "no").walk()) == []


def test_of_several_who_create_one_wins_and_its_content_stays(root):
    place, winners = root / "claim", []
    threads = [threading.Thread(target=lambda n=n: winners.append(n) if place.create(b"%d" % n) else None) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert place.read_bytes() == b"%d" % winners[0]
    assert place.create(b"%d" % winners[0]), "the winner, asking again because it heard nothing, hears that it won"


def test_a_swap_wants_the_version_that_stands(root):
    place = root / "lease"
    place.write_bytes(b"1")
    first = place.read().version
    second = place.swap(b"2", first)
    assert second == place.read().version
    assert place.swap(b"3", first) is None
    assert place.read_bytes() == b"2"
    place.unlink()
    assert place.swap(b"4", second) is None
    assert not place.exists()


def test_of_many_swaps_at_once_none_is_lost(root):
    place = root / "counter"
    place.write_bytes(b"0")

    def plus_one(data):
        return b"%d %s" % (int(data.split()[0]) + 1, uuid.uuid4().hex.encode())  # the content names its writer

    def count():
        for _ in range(5):
            found = place.read()
            while place.swap(plus_one(found.data), found.version) is None:
                found = place.read()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.read_bytes().split()[0] == b"20"


def test_listings_name_what_is_below_in_order(root):
    for name in ("b/2", "a", "b/1", "b/c/3", "bb"):
        (root / name).write_bytes(name.encode())
    assert [place.below(root) for place in root.children()] == ["a", "b", "bb"]
    assert [place.below(root) for place in (root / "b").children()] == ["b/1", "b/2", "b/c"]
    found = {place.below(root): entry.size for place, entry in (root / "b").walk()}
    assert found == {"b/1": 3, "b/2": 3, "b/c/3": 5}
    (root / "b").remove_tree()
    assert [place.below(root) for place, _ in root.walk()] == ["a", "bb"]


def test_arrow_reads_parquet_where_it_stands(root, tmp_path):
    table = pa.table({"item": list(range(30_000)), "text": ["t"] * 30_000})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=10_000)
    place = root / "rows.parquet"
    place.store.upload(place.key, tmp_path / "rows.parquet")
    with place.open() as handle:
        assert pq.ParquetFile(handle).read_row_group(2, columns=["item"])["item"].to_pylist() == list(range(20_000, 30_000))
    place.store.download(place.key, tmp_path / "copy.parquet")
    assert (tmp_path / "copy.parquet").read_bytes() == (tmp_path / "rows.parquet").read_bytes()


def test_a_tag_changes_with_the_content(root):
    place = root / "x"
    place.write_bytes(b"one")
    before = place.find().tag
    assert place.find().tag == before
    place.write_bytes(b"two")
    assert place.find().tag != before


def test_what_a_killed_writer_left_is_not_listed(tmp_path):
    root = locate(tmp_path)
    (tmp_path / ".x.json.0123.tmp").write_bytes(b"half")
    (root / "x.json").write_bytes(b"whole")
    assert root.children() == [root / "x.json"] and [place for place, _ in root.walk()] == [root / "x.json"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3a://b/x/", "s3://b/x"),
        ("gs://b", "gs://b"),
        ("abfss://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net/x"),
    ],
)
def test_addresses_are_values(text, shown):
    place = locate(text)
    assert (str(place), str(place / "y"), (place / "y").parent) == (shown, f"{shown}/y", place)
    with pytest.raises(TypeError, match="no path on this machine"):
        open(place).close()


def test_a_place_on_a_disk_is_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("lake").path == tmp_path / "lake" == Path(locate(f"file://{tmp_path}/lake"))
    assert isinstance(locate(locate("lake")), Location)


@pytest.mark.parametrize("text", ["ftp://x/y", "s3://", "s3:///x", "s3://b/../x", "s3://b/./x"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(UsageError):
        locate(text)


@pytest.mark.parametrize("name", ["", "/x", "../x", "a/../b"])
def test_a_name_stays_below(name):
    with pytest.raises(ValueError, match="not a name below"):
        locate("s3://b/x") / name


def test_a_bucket_that_is_absent_is_named(server, monkeypatch):
    use(monkeypatch, server)
    place = locate("s3://no-such-bucket/x")
    for ask in (place.read_bytes, lambda: place.write_bytes(b""), lambda: place.create(b""), place.exists, place.children):
        with pytest.raises(ConfigError, match="bucket s3://no-such-bucket does not exist"):
            ask()


def test_the_empty_objects_by_which_hadoop_marks_folders_are_no_files(server, tmp_path, monkeypatch):
    use(monkeypatch, server)
    root = locate(f"s3://lakes/{tmp_path.name}")
    for key in ("marked/", "marked/empty"):
        address = f"http://127.0.0.1:{server}/lakes/{tmp_path.name}/{key}"
        urllib.request.urlopen(urllib.request.Request(address, data=b"", method="PUT"), timeout=30)
    assert [place for place, _ in root.walk()] == [root / "marked/empty"]
    (root / "marked/empty").unlink()
    assert not root.exists()


def test_a_listing_tells_files_from_folders_and_says_what_find_says(root):
    for name in ("day/b.json", "day/a.json", "day/below/c.json"):
        (root / name).write_bytes(b"{}")
    found = (root / "day").listing()
    assert [place.name for place, _ in found] == ["a.json", "b.json", "below"] == [p.name for p in (root / "day").children()]
    assert [entry and entry.size for _, entry in found] == [2, 2, None]
    assert found[0][1].tag == (root / "day" / "a.json").find().tag


def test_what_is_discarded_is_gone_from_the_store_and_from_its_workplace(root, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTRANK_NODE_CACHE", str(tmp_path / "cache"))
    work = root / "runs" / "r" / "score_users"
    (work / "one" / "lists.json").write_bytes(b"{}")
    here = workplace(work / "one" / "champion")
    here.mkdir(parents=True, exist_ok=True)
    (here / "weights").write_bytes(b"0")
    assert here.is_relative_to(workplace(work)) and here.is_relative_to(workplace(root)), "places below share a workplace"
    discard(work)
    assert not here.exists() and not work.exists()
    discard(work)


@pytest.mark.parametrize(
    ("text", "words", "remedy"),
    [
        ("s3://b/lake,gs://b/lake", "names more than one place", "a lake has one address"),
        ("s3://b/gs://c/lake", "names more than one place", "a lake has one address"),
        ("file:///lake/s3://b", "names more than one place", "a lake has one address"),
        ("s3://b,c/lake", "names more than one place", "a lake has one address"),
        ("s3:/bucket/lake", "s3:/bucket/lake is no address", "write s3://bucket/lake"),
        ("S3:bucket/lake", "is no address", "write s3://bucket/lake"),
        ("file:/data/lake", "is no address", "write /data/lake"),
        ("hdfs:/lake", "is no address", "write hdfs://lake"),
    ],
)
def test_an_address_that_mixes_kinds_or_is_half_of_one_makes_no_folder(text, words, remedy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words) as refused:
        locate(text)
    assert remedy in refused.value.remedy and list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_may_be_named_like_a_scheme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:old").mkdir()
    assert locate("s3:old").path == tmp_path / "s3:old"
