"""A study in a bucket: another machine goes on with it, lost answers add nothing twice, and two writers lose nothing."""

import threading

import pytest

from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.tune import study as studies
from nightrank.trainer.tune.journal import BucketJournal
from tests.s3_server import proxy, s3_server, use
from tests.unit.test_tune_study import CONFIG, Killed, rows, search_in, searched, whole


@pytest.fixture(scope="module")
def server():
    with s3_server("studies") as port:
        yield port


@pytest.fixture
def faults(server, monkeypatch):
    with proxy(server) as (port, faults):
        use(monkeypatch, port)
        yield faults


@pytest.fixture
def root(faults, tmp_path):
    return locate(f"s3://studies/{tmp_path.name}")


def test_a_search_that_was_killed_on_one_machine_ends_on_another_with_the_trials_of_a_disk(root, tmp_path, monkeypatch):
    def objective(number, params):
        if number == 2 and not list(tmp_path.glob("killed")):
            (tmp_path / "killed").touch()
            raise Killed
        return whole(number, params)

    monkeypatch.setenv("NIGHTRANK_NODE_CACHE", str(tmp_path / "one"))
    with pytest.raises(Killed):
        search_in(root / "s", trials=5).run(objective)
    monkeypatch.setenv("NIGHTRANK_NODE_CACHE", str(tmp_path / "other"))
    search = search_in(root / "s", trials=5)
    assert [trial.number for trial in studies.finished(search.study)] == [0, 1]
    search.run(objective)
    assert rows(search) == searched(tmp_path / "disk" / "s", trials=5)
    assert (root / "s" / studies.JOURNAL).is_file()


def test_lost_answers_and_a_busy_server_add_every_record_once(root, faults, tmp_path):
    faults.key, faults.every, faults.lose, faults.refuse = studies.JOURNAL, 3, 100_000, 0
    assert searched(root / "lost", trials=3) == searched(tmp_path / "s", trials=3)
    faults.lose, faults.refuse = 0, 100_000
    assert searched(root / "busy", trials=3) == searched(tmp_path / "s", trials=3)


def test_of_several_writers_at_once_none_loses_a_record(root):
    def write(writer):
        journal = BucketJournal(root / "journal")
        for number in range(6):
            journal.append_logs([{"writer": writer, "number": number}, {"writer": writer, "number": number, "second": True}])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(BucketJournal(root / "journal").read_logs(0))
    assert len(found) == 48 and list(BucketJournal(root / "journal").read_logs(40)) == found[40:]
    for writer in range(4):
        own = [(record["number"], record.get("second", False)) for record in found if record["writer"] == writer]
        assert own == [(number, second) for number in range(6) for second in (False, True)], "in order, and together"


def test_a_study_that_is_opened_twice_is_one(root):
    one, other = (studies.open_study(root / "s", CONFIG.pruner) for _ in range(2))
    assert one.study_name == other.study_name == "s"
