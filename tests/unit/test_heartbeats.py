"""What ranks read of each other, and that a disk that fails for a moment ends nobody."""

import os
import shutil
import time

import pytest

from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.process import this_process
from nightrank.trainer.config.training import TrainerConfig, WatchdogConfig
from nightrank.trainer.ranks import watchdog
from nightrank.trainer.ranks.heartbeats import Heartbeats, Peers, is_at_work
from nightrank.trainer.ranks.threads import slots_by_host, threads_of, workers_here
from nightrank.trainer.ranks.watchdog import Heartbeat, Progress
from tests.heartbeat_files import beat

HERE = this_process()


def test_a_rank_that_waits_for_others_or_has_ended_or_is_silent_or_stands_still_is_not_at_work():
    assert is_at_work(beat(1, still_seconds=9.9), 9.9, 10)
    assert not is_at_work(beat(1, waiting_in="allreduce"), 0, 10)
    assert not is_at_work(beat(1, {"how": "done"}), 0, 10)
    assert not is_at_work(beat(1), 10, 10)
    assert not is_at_work(beat(1, still_seconds=10), 0, 10)


def test_a_rank_is_waited_for_only_while_some_other_works(tmp_path):
    peers = Peers(tmp_path / "rank-0.json", 10)
    write_json(tmp_path / "rank-0.json", beat(0))
    assert not peers.at_work(), "a rank is no peer of itself"
    write_json(tmp_path / "rank-1.json", beat(1, waiting_in="allreduce"))
    assert not peers.at_work()
    write_json(tmp_path / "rank-2.json", beat(2))
    assert peers.at_work()


def test_a_rank_that_waits_for_waiting_ranks_ends_itself(tmp_path, monkeypatch):
    ended: list[int] = []
    monkeypatch.setattr(watchdog.os, "_exit", lambda code: ended.append(code) or heartbeat._stopped.set())
    write_json(tmp_path / "rank-1.json", beat(1, waiting_in="allreduce"))
    progress = Progress()
    config = WatchdogConfig(beat_seconds=0.02, timeout_seconds=0.2, startup_seconds=0.2)
    heartbeat = Heartbeat(tmp_path, 0, progress, config, HERE)
    heartbeat.start()
    with progress.waiting("allreduce"):
        heartbeat._thread.join(timeout=5)
    assert ended == [6]
    heartbeat.stop({"how": "done"})


def test_hosts_whose_clocks_differ_are_at_work_as_long_as_their_heartbeats_change(tmp_path):
    path, peers = tmp_path / "rank-1.json", Peers(tmp_path / "rank-0.json", 0.3)
    write_json(path, beat(1, at=time.time() - 1e6))
    assert peers.at_work()
    time.sleep(0.4)
    assert not peers.at_work()
    write_json(path, beat(1, at=time.time() - 1e6 + 1))
    assert peers.at_work()


def test_a_file_that_cannot_be_read_counts_as_it_was_read_last(tmp_path):
    path, beats = tmp_path / "rank-1.json", Heartbeats(tmp_path)
    (tmp_path / "rank-2.json").mkdir()
    write_json(path, beat(1, step=3))
    assert [found["step"] for found in beats.read()] == [3]
    path.write_text("{")
    assert [found["step"] for found in beats.read()] == [3]
    path.unlink()
    assert [found["step"] for found in beats.read()] == [3]


def test_a_heartbeat_that_cannot_be_written_is_tried_again(tmp_path, capsys):
    folder = tmp_path / "ranks"
    heartbeat = Heartbeat(folder, 0, Progress(), WatchdogConfig(beat_seconds=0.02), HERE)
    heartbeat.start()
    shutil.rmtree(folder)
    folder.write_text("a file where the folder was: every write fails")
    time.sleep(0.3)
    assert heartbeat._thread.is_alive()
    folder.unlink()
    time.sleep(0.3)
    assert read_json(folder / "rank-0.json")["ended"] is None
    heartbeat.stop({"how": "done"})
    assert capsys.readouterr().err.count("could not be written") == 1


def test_how_a_rank_ended_is_written_though_the_first_write_fails(tmp_path, monkeypatch):
    heartbeat = Heartbeat(tmp_path, 0, Progress(), WatchdogConfig(beat_seconds=0.02), HERE)
    heartbeat.start()
    time.sleep(0.1)
    left, write = [2], watchdog.write_json

    def fails_twice(path, body):
        if body["ended"] is not None and left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        write(path, body)

    monkeypatch.setattr(watchdog, "write_json", fails_twice)
    heartbeat.stop({"how": "done"})
    assert read_json(tmp_path / "rank-0.json")["ended"] == {"how": "done"}


def test_doing_something_beside_the_steps_is_progress_when_it_begins_and_when_it_ends():
    progress = Progress()
    progress.moved("fit", 4)
    progress.moved_at -= 100
    with progress.during("saving a checkpoint"):
        assert time.monotonic() - progress.moved_at < 50
        assert (progress.doing, progress.step) == ("saving a checkpoint", 4)
        progress.moved_at -= 100
    assert time.monotonic() - progress.moved_at < 50
    assert progress.doing == "fit"


@pytest.mark.parametrize(
    ("changes", "workers"),
    [
        ({"launcher": "one_process", "workers": 8}, 1),
        ({"workers": 4}, 4),
        ({"workers": 4, "launcher": "spark"}, 4),
        ({"workers": 6, "hosts": f"elsewhere:4,{HERE.host}:2"}, 2),
        ({"workers": 6, "hosts": "localhost:2,elsewhere:4"}, 2),
        ({"workers": 6, "hosts": "a:2,b:4"}, 4),
        ({"workers": 2, "hosts": "localhost:8"}, 2),
    ],
)
def test_the_workers_of_this_machine_are_counted_not_those_of_all(changes, workers):
    assert workers_here(TrainerConfig(**changes)) == workers


def test_cores_are_shared_by_the_workers_of_a_machine_unless_the_configuration_says(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert [threads_of(TrainerConfig(workers=16), here) for here in (1, 2, 3, 16)] == [8, 4, 2, 1]
    assert threads_of(TrainerConfig(threads_per_worker=3), 8) == 3
    assert slots_by_host("a:4, b ,a:2") == {"a": 6, "b": 1}
