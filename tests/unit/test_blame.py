"""Who ended a set of ranks, as the launcher finds out from heartbeats, exit codes and the launcher's words."""

import pytest

from nightrank.feature_store.contracts.errors import DataContractError, NightrankError, StalledError
from nightrank.trainer.launch.blame import blame
from nightrank.trainer.launch.first_to_end import FirstToEnd
from nightrank.trainer.launch.supervise import _echo
from tests.heartbeat_files import beat
from tests.training_jobs import job_of, small_lake


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return job_of(root, small_lake(root, users=20), {"launcher": "horovodrun", "workers": 2})


def test_a_fault_the_ranks_agreed_on_is_raised_as_it_was(job):
    fault = {"how": "fault", "fault": DataContractError("file x", "mend").to_json()}
    error = blame([beat(0, fault), beat(1, {"how": "peer_lost"})], job, 1)
    assert (type(error), error.message) == (DataContractError, "file x")


def test_the_rank_that_hung_is_named_not_the_one_that_waited(job):
    why = {"how": "ended_itself", "why": "no progress for 9 s"}
    error = blame([beat(0, why, waiting_in="allreduce"), beat(1, why)], job, 1)
    assert isinstance(error, StalledError)
    assert error.message.startswith("rank 1 of 2 on h was ended: no progress for 9 s; its last step was 7, doing fit")


def test_the_rank_without_last_words_was_lost(job):
    error = blame([beat(0, {"how": "peer_lost"}), beat(1)], job, 1)
    assert isinstance(error, StalledError)
    assert "rank 1 of 2" in error.message
    assert "was lost" in error.message


def test_of_two_without_last_words_the_launcher_knows_which_ended_first(job):
    assert "rank 0 of 2" in blame([beat(0), beat(1)], job, 1).message
    assert "rank 1 of 2" in blame([beat(0), beat(1)], job, 1, {1: 137}).message


def test_a_launcher_that_was_killed_was_lost_and_one_that_failed_was_not(job):
    killed, failed = blame([], job, -9), blame([], job, 2)
    assert killed.exit_code == 6 and killed.message.startswith("the launcher of 2 ranks was lost")
    assert (failed.exit_code, failed.message) == (1, "the launcher of 2 ranks ended with 2 before any of them came up")


def test_a_crash_keeps_its_own_name(job):
    error = blame([beat(0, {"how": "crashed", "error": "ValueError: x"}), beat(1, {"how": "peer_lost"})], job, 1)
    assert (type(error), error.exit_code) == (NightrankError, 1)
    assert "rank 0 of 2 ended at step 7 with ValueError: x" in error.message


def test_ranks_that_never_came_up_are_not_taken_for_stalled(job):
    error = blame([], job, 1)
    assert (type(error), error.exit_code) == (NightrankError, 1)
    assert "before any of them came up" in error.message


@pytest.mark.parametrize("code", [137, -9, 139])
@pytest.mark.parametrize("others", [[], [beat(0)], [beat(0, {"how": "peer_lost"}, waiting_in="init")]])
def test_a_rank_that_was_killed_before_it_came_up_is_named_and_ends_with_6(job, code, others):
    error = blame(others, job, 1, {1: code})
    assert (type(error), error.exit_code) == (StalledError, 6)
    assert error.message.startswith("rank 1 of 2 was lost (killed from outside, or out of memory) before it came up")


def test_a_rank_that_ended_by_itself_before_it_came_up_is_named_with_its_code(job):
    error = blame([beat(0)], job, 1, {1: 3})
    assert (type(error), error.exit_code) == (NightrankError, 1)
    assert error.message == "rank 1 of 2 ended with exit code 3 before it came up"


def test_a_rank_lost_at_once_is_named_though_another_had_not_come_up_yet(job):
    assert blame([beat(0)], job, 1, {0: 137}).message.startswith("rank 0 of 2 on h was lost")


def test_where_the_launcher_names_nobody_the_ranks_without_a_heartbeat_are_named(job):
    why = {"how": "ended_itself", "why": "no progress for 9 s"}
    for others in ([beat(0)], [beat(0, why, waiting_in="init")]):
        error = blame(others, job, 1)
        assert (error.exit_code, error.message.split(" was")[0]) == (6, "rank 1 of 2")
    assert blame([beat(0, why)], job, 1).message.startswith("rank 0 of 2 on h was ended: no progress")


def test_the_only_rank_of_one_process_is_judged_by_its_own_code(tmp_path):
    job = job_of(tmp_path, small_lake(tmp_path, users=20))
    assert blame([], job, -9).exit_code == 6
    assert blame([], job, 1).message == "rank 0 of 1 ended with exit code 1 before it came up"


def test_horovodruns_words_name_the_first_to_end_and_its_code(capsys):
    first = FirstToEnd()
    _echo(["[1]<stderr>:Exit code: 5\n", "to do so was:\n", "Process name: 1\n", "Exit code: 137\n"], first)
    assert first.ranks == {1: 137}
    assert capsys.readouterr().err.startswith("Exit code: 5")


TORCHRUN = """
Failures:
[1]:
  time      : 2026-01-01_08:28:13
  host      : a
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 30652)  (SIGTERM)
-------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-01_08:28:13
  host      : a
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 30653)  (SIGKILL)
"""


def test_torchruns_words_name_the_root_cause_and_not_the_ranks_it_ended():
    first = FirstToEnd()
    for line in TORCHRUN.splitlines():
        first.see(line)
    assert first.ranks == {1: -9}
