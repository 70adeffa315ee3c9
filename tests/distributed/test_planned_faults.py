"""Faults planned for a rank at a step: what ends all ranks, how they are named, and what is committed then."""

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable, NightrankError, StalledError
from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.launch import environment_of_workers, launch
from nightrank.trainer.launch.again import last_commit
from nightrank.trainer.launch.supervise import end_leftovers, supervise
from nightrank.trainer.loop.checkpoint import CheckpointFolder
from nightrank.trainer.ranks.fail_at import planned
from tests.distributed.test_backends import ENDLESS, LAUNCHER, QUICK, Pair, ended
from tests.distributed.test_rows import started
from tests.training_jobs import small_lake

pytestmark = pytest.mark.distributed
OFTEN = {"checkpoint": {"every_steps": 4, "every_seconds": 600}}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


@pytest.fixture(params=list(LAUNCHER))
def two(request, lake):
    return Pair(request.param, "arrow", *lake)


def committed_steps(job) -> list[int]:
    """Steps of the checkpoints that count; each of them is whole."""
    folder = CheckpointFolder(job.checkpoints)
    return [folder.load(name).state.total_steps for name in folder.running()]


@pytest.mark.parametrize(("how", "message"), [("kill", "was lost"), ("exit", "was lost"), ("hang", "gave no sign of life")])
def test_a_rank_that_stops_at_a_step_ends_all_with_6_and_leaves_whole_checkpoints(two, monkeypatch, how, message):
    job = two.job(how, ENDLESS, QUICK, OFTEN)
    monkeypatch.setenv(*planned(1, 9, how))
    fault = two.fault(job)
    assert isinstance(fault, StalledError) and fault.exit_code == 6
    assert fault.message.startswith("rank 1 of 2") and message in fault.message
    steps = committed_steps(job)
    assert ended(job) and steps, "every checkpoint that counts is whole"
    assert how == "hang" or steps in ([4], [4, 8]), "that of step 8 is written beside the training"


def test_ranks_that_call_collectives_in_another_order_end_by_the_watchdog(two, monkeypatch):
    job = two.job("order", ENDLESS, QUICK)
    monkeypatch.setenv(*planned(1, 3, "order"))
    fault = two.fault(job)
    assert fault.exit_code == 6
    both = "rank 0 in allreduce" in fault.message and "rank 1 in gather" in fault.message
    first = "no progress for" in fault.message and (
        "waiting in allreduce" in fault.message or "waiting in gather" in fault.message
    )
    assert both or first, "the launcher may end the other rank before it has said where it waits"
    assert ended(job)


@pytest.mark.parametrize("placement", ["replicate", "shard"])
def test_a_full_disk_ends_all_with_8_and_the_checkpoint_before_counts(two, monkeypatch, placement):
    rank = 0 if placement == "replicate" else 1
    job = two.job(f"disk-{placement}", ENDLESS, QUICK, OFTEN, {"tables": {"placement": placement}, "model": {"width": 32}})
    monkeypatch.setenv(*planned(rank, 6, "disk"))
    fault = two.fault(job)
    assert isinstance(fault, DependencyUnreachable) and "finds no room" in fault.message, fault
    assert ended(job) and committed_steps(job) == [4]
    assert not [path for path in job.checkpoints.path.iterdir() if "000000008" in path.name and path.suffix == ".json"]


def test_a_slow_rank_is_waited_for(two, monkeypatch):
    job = two.job("slow", QUICK, {"fit": {"epochs": 1}})
    monkeypatch.setenv(*planned(1, 5, "slow"))
    launch(job)
    assert read_json(job.result_path)["training"]["world_size"] == 2


def test_a_rank_with_another_configuration_ends_all_before_a_step(two):
    job = two.job("other-job")
    end_leftovers(job)
    command = [*started(two.backend, 2), "-m", "tests.distributed.other_job_worker", str(job.path)]
    with pytest.raises(NightrankError) as raised:
        supervise(command, environment_of_workers(job), job)
    assert isinstance(raised.value, ConfigError)
    assert raised.value.message == "rank 1 of 2 was given another job than rank 0: trainer.batch_rows"
    assert ended(job) and last_commit(job) == ""


@pytest.mark.parametrize("users", [1, 7])
def test_fewer_row_groups_or_rows_than_ranks_are_read_once(two, tmp_path, users):
    snapshot = small_lake(tmp_path, users=users)
    few = Pair(two.backend, "arrow", tmp_path, snapshot)
    job = few.job(f"few-{users}", {"fit": {"epochs": 1}})
    assert len(snapshot.parts["train"].files) == 1
    launch(job)
    training = read_json(job.result_path)["training"]
    assert training["dropped"] == 0 and training["steps"][0] == training["steps"][1]
    assert sum(training["rows_read"]) >= snapshot.rows("train") + snapshot.rows("refit")
