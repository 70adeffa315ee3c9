"""A store that loses answers, refuses, is slow or absent: a write is done once or is refused by name; a lease has one owner."""

import threading
import time

import pytest

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts.errors import ConfigError, ConflictError, DependencyUnreachable
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import ProcessId
from nightrank.feature_store.contracts.storage import locate, patience
from tests.commands import nightrank
from tests.s3_server import proxy, s3_server, use

ELSEWHERE = ProcessId("elsewhere", "another boot", 1, "1")


@pytest.fixture(scope="module")
def server():
    with s3_server("faulty") as port:
        yield port


@pytest.fixture
def faults(server, monkeypatch):
    with proxy(server) as (port, faults):
        monkeypatch.setenv(patience.VARIABLE, "3")
        use(monkeypatch, port)
        yield faults


@pytest.fixture
def root(faults, tmp_path):
    return locate(f"s3://faulty/{tmp_path.name}")


def test_a_create_whose_answer_is_lost_has_happened_once(root, faults):
    faults.key, faults.lose = "claim", 1
    assert (root / "claim").create(b"mine")
    assert not (root / "claim").create(b"theirs")
    assert (root / "claim").read_bytes() == b"mine"


def test_a_swap_whose_answer_is_lost_gives_the_version_that_stands(root, faults):
    place = root / "lease"
    place.write_bytes(b"1")
    faults.key, faults.lose = "lease", 1
    version = place.swap(b"2", place.read().version)
    assert version == place.read().version
    assert place.swap(b"3", version) is not None


def test_a_lost_answer_to_the_loser_is_still_a_loss(root, faults):
    (root / "claim").create(b"theirs")
    faults.key, faults.lose = "claim", 1
    assert not (root / "claim").create(b"mine")
    assert (root / "claim").read_bytes() == b"theirs"


def test_503_is_asked_again(root, faults):
    faults.refuse = 2
    (root / "x").write_bytes(b"1")
    assert (root / "x").read_bytes() == b"1"
    assert sum(line.startswith("PUT") for line in faults.seen) == 3


def test_a_store_that_goes_on_refusing_is_unreachable_and_nothing_stands(root, faults):
    faults.refuse = 10_000
    began = time.monotonic()
    with pytest.raises(DependencyUnreachable, match=r"s3://faulty does not answer for .*/x"):
        (root / "x").write_bytes(b"1")
    between = time.monotonic()
    with pytest.raises(DependencyUnreachable):
        (root / "claim").create(b"1")
    assert 3 <= between - began < 3 + patience.LONGEST_PAUSE_SECONDS + 3, "a call ends soon after its time"
    assert time.monotonic() - between < 3 + patience.LONGEST_PAUSE_SECONDS + 3
    faults.refuse = 0
    assert not (root / "x").exists() and not (root / "claim").exists()


def test_a_slow_answer_is_waited_for(root, faults):
    faults.delay = 1.5
    assert (root / "x").create(b"1")


def test_a_server_that_is_not_there_is_unreachable(monkeypatch):
    monkeypatch.setenv(patience.VARIABLE, "1")
    use(monkeypatch, 9)
    with pytest.raises(DependencyUnreachable, match="s3://faulty does not answer"):
        locate("s3://faulty/x").read_bytes()


@pytest.mark.parametrize("given", ["long", "0", "-1", "inf", "nan"])
def test_a_number_that_is_none_is_named(monkeypatch, given):
    monkeypatch.setenv(patience.VARIABLE, given)
    with pytest.raises(ConfigError, match="NIGHTRANK_STORAGE_SECONDS"):
        locate("s3://faulty/x").read_bytes()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", r"s3://faulty does not allow this for .* \(403\)"),
        (400, "AuthorizationHeaderMalformed", "in another region"),
        (301, "PermanentRedirect", "in another region"),
        (403, "RequestTimeTooSkewed", "refuses this host: its clock is wrong"),
    ],
)
def test_what_asking_again_does_not_mend_is_a_configuration_error(root, faults, status, code, words):
    faults.method, faults.refuse, faults.status, faults.code = "", 10_000, status, code
    place = root / "x"
    for call in (
        lambda: place.write_bytes(b"1"),
        lambda: place.create(b"1"),
        place.read_bytes,
        lambda: list(root.walk()),
        root.children,
    ):
        with pytest.raises(ConfigError, match=words):
            call()


def test_a_look_at_an_object_of_another_region_says_so_without_a_body(root, faults):
    """HEAD has no body that names the fault; the status is enough."""
    faults.method, faults.refuse, faults.status, faults.code = "HEAD", 10_000, 301, ""
    with pytest.raises(ConfigError, match="in another region"):
        (root / "x").find()


@pytest.mark.parametrize(
    ("status", "code", "words", "remedy"),
    [
        (301, "PermanentRedirect", "in another region than this process asks", "set AWS_REGION"),
        (403, "RequestTimeTooSkewed", "its clock is wrong", "NTP"),
    ],
)
def test_a_command_ends_with_2_and_the_remedy(root, faults, status, code, words, remedy):
    faults.method, faults.refuse, faults.status, faults.code = "", 10_000, status, code
    lake = Lake(root)
    answer = nightrank(lake, "run", "landed", "--date", "2024-01-01", expect=(2,))
    assert words in answer["error"]["message"] and remedy in answer["error"]["remedy"]


@pytest.fixture
def lake(root):
    return Lake(root)


def test_the_lease_on_a_bucket_has_growing_fences_and_one_owner(lake):
    for expected in (1, 2):
        lease = leases.acquire(lake, f"run-{expected}")
        assert lease.fence == expected
        with pytest.raises(ConflictError, match=f"run run-{expected} is working"):
            leases.acquire(lake, "other")
        lease.release()


def test_a_claim_whose_answer_is_lost_is_held(lake, faults):
    faults.key, faults.lose = "lease.json", 1
    lease = leases.acquire(lake, "mine")
    assert lease.fence == 1
    faults.lose = 1
    lease.beat()
    assert records.read(lake)[0].beat == 1 and not lease.lost.is_set()


def test_of_many_runs_at_once_one_holds_the_bucket(lake):
    held, refused = [], []

    def run(n):
        try:
            held.append(leases.acquire(lake, f"run-{n}"))
        except ConflictError:
            refused.append(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 5)


def test_a_commit_under_way_keeps_the_bucket_and_a_superseded_run_commits_nothing(lake):
    old = leases.acquire(lake, "old")
    inside, written = threading.Event(), []

    def commit():
        with old.commit():
            inside.set()
            time.sleep(1.0)
            written.append("old")

    old_commit = threading.Thread(target=commit)
    old_commit.start()
    inside.wait()
    old.release()
    new = leases.acquire(lake, "new", commit_seconds=20)
    assert written == ["old"], "the takeover counts after the commit has ended"
    old_commit.join()
    with pytest.raises(ConflictError, match=r"run old \(fence 1\) was superseded by run new \(fence 2\)"), old.commit():
        raise AssertionError("inside")
    with fences.commit(lake, "new", new.fence):
        assert len(records.read(lake)[0].commits) == 1
    assert records.read(lake)[0].commits == {}


def test_a_commit_that_does_not_end_is_named_and_the_claim_given_up(lake):
    old = leases.acquire(lake, "old")
    with old.commit():
        old.release()
        with pytest.raises(ConflictError, match=r"run old .* is inside a commit and does not finish it"):
            leases.acquire(lake, "new", commit_seconds=0.5)
    assert leases.acquire(lake, "new").fence == 3


def test_a_silent_host_is_superseded_with_the_commit_it_left(lake):
    records.put(lake, records.Record("far", 4, ELSEWHERE, commits={"1": ELSEWHERE}), None)
    lease = leases.acquire(lake, "mine", silent_seconds=0.5, commit_seconds=5)
    assert (lease.fence, records.read(lake)[0].commits) == (5, {})
