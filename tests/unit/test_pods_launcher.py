"""How ranks of launcher `pods` meet: who is given the job, who is told to wait, and what each says where nobody comes."""

import json
import threading
import time
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable, StalledError, UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch import join as joining
from nightrank.trainer.launch import rendezvous
from nightrank.trainer.launch.host_name import check_hostname
from nightrank.trainer.launch.join import join
from nightrank.trainer.launch.one_rank import Meeting, horovod_environment, interface_of
from nightrank.trainer.launch.rendezvous import Gathering, gathering
from tests.ports import free_port
from tests.training_jobs import job_of, small_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root, users=20)


@pytest.fixture
def job(lake):
    return job_of(*lake, {"launcher": "pods", "workers": 3, "rendezvous_port": free_port()})


def test_the_job_is_given_when_all_ranks_are_there_and_to_nobody_else(job):
    met = Gathering(job)
    assert met.answer(1, "a", "127.0.0.2")[0] == 404
    assert met.answer(1, "b", "127.0.0.2")[0] == 404, "a pod that was started again takes its rank over"
    status, body = met.answer(2, "c", "127.0.0.3")
    assert status == 200 and Job.model_validate(json.loads(body)) == job
    assert met.wait(0) == "127.0.0.3"
    assert met.answer(1, "b", "127.0.0.2")[0] == 200
    assert met.answer(1, "a", "127.0.0.2")[0] == 409, "the rank is another's"
    assert [met.answer(rank, "d", "127.0.0.4")[0] for rank in (0, 3)] == [400, 400]


def test_a_rank_that_came_and_went_is_missed(job, monkeypatch):
    met = Gathering(job)
    met.answer(1, "a", "")
    later = time.monotonic() + rendezvous.FRESH_SECONDS
    monkeypatch.setattr(rendezvous.time, "monotonic", lambda: later)
    assert met.answer(2, "b", "")[0] == 404
    with pytest.raises(StalledError, match=r"ranks \[1\] of 3 did not come .* within 0 s") as caught:
        met.wait(0)
    assert "nightrank join" in caught.value.remedy


def test_a_taken_port_is_named(job):
    with (
        gathering(job),
        pytest.raises(ConfigError, match=f"port {job.config.rendezvous_port} cannot be opened"),
        gathering(job),
    ):
        pass


def test_the_others_are_given_the_job_with_themselves_as_its_launcher(job, monkeypatch):
    job.save()
    started = {}
    monkeypatch.setattr(
        joining, "run_rank", lambda job, path, rank, meeting: started.update({rank: (read_json(Path(path)), meeting)})
    )
    with gathering(job) as met:
        others = [threading.Thread(target=join, args=("localhost", met.port, rank, 60)) for rank in (1, 2)]
        for other in others:
            other.start()
        assert met.wait(60) == "127.0.0.1"
        for other in others:
            other.join()
    assert sorted(started) == [1, 2]
    body, meeting = started[1]
    assert Job.model_validate(body) == job.model_copy(update={"launcher": job.launcher})
    assert meeting == Meeting("127.0.0.1", met.port, "127.0.0.1")


def test_a_rank_that_there_is_not_ends_with_2_and_a_training_that_does_not_come_with_8(job):
    with gathering(job) as met:
        with pytest.raises(UsageError, match=r"there is no rank 3 .* ranks 0 to 2"):
            join("127.0.0.1", met.port, 3, 60)
        with pytest.raises(DependencyUnreachable, match=r"within 0 s: other ranks are missing"):
            join("127.0.0.1", met.port, 1, 0)
    with pytest.raises(DependencyUnreachable, match="no training began"):
        join("127.0.0.1", met.port, 1, 0)


def test_a_lake_that_is_not_mounted_is_named(lake):
    alone = job_of(*lake, {"launcher": "pods", "workers": 2, "rendezvous_port": free_port()}, run_id="not-saved")
    with gathering(alone) as met, pytest.raises(ConfigError, match=r"not-saved/train/job.json .* is not there") as caught:
        join("127.0.0.1", met.port, 1, 60)
    assert "every pod reaches the lake" in caught.value.remedy


def test_a_machine_whose_name_stands_for_the_loopback_is_named():
    check_hostname("localhost", "127.0.0.1")
    with pytest.raises(ConfigError, match=r"'localhost' stands for 127\.0\.0\.1, .* at 10\.0\.0\.2") as caught:
        check_hostname("localhost", "10.0.0.2")
    assert "`10.0.0.2 localhost`" in caught.value.remedy


def test_horovod_is_told_a_machine_for_each_rank(monkeypatch):
    monkeypatch.delenv("HOROVOD_GLOO_IFACE", raising=False)
    given = horovod_environment(2, 3, Meeting("10.0.0.1", 29400, "127.0.0.2"))
    assert (given["HOROVOD_CROSS_RANK"], given["HOROVOD_CROSS_SIZE"], given["HOROVOD_LOCAL_SIZE"]) == ("2", "3", "1")
    assert given["HOROVOD_GLOO_IFACE"] == interface_of("127.0.0.1")
    monkeypatch.setenv("HOROVOD_GLOO_IFACE", "net1")
    assert horovod_environment(2, 3, Meeting("10.0.0.1", 29400, "192.0.2.1"))["HOROVOD_GLOO_IFACE"] == "net1"
    with pytest.raises(ConfigError, match=r"no network interface .* 192\.0\.2\.1"):
        interface_of("192.0.2.1")
