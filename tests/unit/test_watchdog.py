import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, StalledError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.process import process_started, this_process
from nightrank.trainer.config.training import WatchdogConfig
from nightrank.trainer.launch import check_hostname
from nightrank.trainer.launch.beats import gone, kill, process_of, worker_of
from nightrank.trainer.launch.supervise import _Watch
from nightrank.trainer.ranks.watchdog import Heartbeat, Progress
from tests.heartbeat_files import beat
from tests.training_jobs import job_of, small_lake


def test_the_heart_writes_what_the_rank_does_and_how_it_ended(tmp_path):
    progress = Progress()
    heartbeat = Heartbeat(tmp_path, 3, progress, WatchdogConfig(beat_seconds=0.02), this_process())
    heartbeat.start()
    progress.moved("fit", 41)
    time.sleep(0.3)
    alive = read_json(tmp_path / "rank-3.json")
    assert process_of(alive) == this_process()
    heartbeat.stop({"how": "done"})
    assert (alive["step"], alive["doing"], alive["ended"]) == (41, "fit", None)
    assert read_json(tmp_path / "rank-3.json")["ended"] == {"how": "done"}


def test_a_rank_stuck_in_a_python_loop_ends_itself_with_6_and_leaves_its_stack(tmp_path):
    script = textwrap.dedent(
        f"""
        from nightrank.feature_store.contracts.storage import locate
        from nightrank.feature_store.contracts.process import ProcessId
        from nightrank.trainer.config.training import WatchdogConfig
        from nightrank.trainer.ranks.watchdog import Heartbeat, Progress

        def goes_round_for_ever():
            while True:
                pass

        progress = Progress()
        config = WatchdogConfig(beat_seconds=0.05, timeout_seconds=0.5, startup_seconds=0.5)
        Heartbeat(locate({str(tmp_path)!r}), 1, progress, config, {this_process()!r}).start()
        progress.moved("fit", 12)
        goes_round_for_ever()
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert ended.returncode == 6
    assert "goes_round_for_ever" in (tmp_path / "rank-1.stack.txt").read_text()
    assert read_json(tmp_path / "rank-1.json")["ended"]["how"] == "ended_itself"


def test_a_launcher_that_is_gone_is_noticed_and_one_elsewhere_is_trusted():
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    assert not this_process().is_gone
    assert replace(this_process(), pid=gone.pid).is_gone
    assert replace(this_process(), started="1").is_gone, "a process that was given the launcher's pid afterwards"
    assert not replace(this_process(), machine="another host", pid=gone.pid).is_gone


def test_two_containers_share_a_host_s_name_and_pids_and_no_rank_is_taken_for_another(tmp_path):
    """A beat of another container bears our own pid: it is not found here, not lost, and ends nothing of ours."""
    asleep = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        ours = replace(this_process(), pid=asleep.pid, started=process_started(asleep.pid))
        elsewhere = replace(ours, machine="another container")
        reused = replace(ours, started="1")
        assert worker_of(beat(0, **ours.to_json())).pid == asleep.pid
        for other, lost in ((elsewhere, False), (reused, True)):
            seen = beat(0, **other.to_json())
            assert worker_of(seen) is None and gone(seen) is lost
            kill([seen])
            assert asleep.poll() is None
        kill([beat(0, **ours.to_json())])
        assert not process_started(asleep.pid)
    finally:
        asleep.kill()
        asleep.wait()


@pytest.mark.parametrize(
    ("ended", "guilty"),
    [
        ({"how": "ended_itself", "why": "no progress for 9 s"}, "rank 1 of 2 on h was ended"),
        ({"how": "done"}, "rank 0 of 2 on h gave no sign of life"),
    ],
)
def test_a_rank_falls_silent_because_another_ended_or_by_itself(tmp_path, ended, guilty):
    watchdog = {"timeout_seconds": 0.1}
    job = job_of(tmp_path, small_lake(tmp_path, users=20), {"launcher": "horovodrun", "workers": 2, "watchdog": watchdog})
    job.ranks.mkdir()
    write_json(job.ranks / "rank-0.json", beat(0, waiting_in="allreduce"))
    write_json(job.ranks / "rank-1.json", beat(1, ended))
    watch = _Watch(job)
    watch.look()
    time.sleep(0.2)
    with pytest.raises(StalledError, match=guilty):
        watch.look()


def test_a_silent_process_of_this_machine_that_is_no_more_was_lost(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    one, config = small_lake(tmp_path, users=20), {"launcher": "horovodrun", "workers": 1, "watchdog": {"timeout_seconds": 0.1}}
    job = job_of(tmp_path, one, config)
    job.ranks.mkdir()
    write_json(job.ranks / "rank-0.json", beat(0, **{**this_process().to_json(), "pid": ended.pid}))
    watch = _Watch(job)
    watch.look()
    time.sleep(0.2)
    with pytest.raises(StalledError, match=r"rank 0 of 1 on .* was lost"):
        watch.look()


def test_a_name_that_does_not_resolve_is_refused_before_horovod_crashes_on_it():
    with pytest.raises(ConfigError, match=r"no-such-host\.invalid") as raised:
        check_hostname("no-such-host.invalid")
    assert "/etc/hosts" in raised.value.remedy
