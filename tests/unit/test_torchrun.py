"""What torchrun is told for one host and for several, and which launcher goes with which backend."""

from itertools import pairwise

import pytest

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.trainer.config.training import BACKEND_OF, TrainerConfig
from nightrank.trainer.launch import LAUNCHERS, torchrun
from nightrank.trainer.ranks.threads import slots_by_host, workers_here
from nightrank.trainer.ranks.worlds import rank_of
from tests.training_jobs import job_of, small_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root, users=20)


def test_one_host_meets_on_the_loopback_and_is_not_restarted(lake):
    words = torchrun.command(job_of(*lake, {"launcher": "torchrun", "workers": 3}))
    assert words[1:3] == ["-m", "torch.distributed.run"] and "--standalone" in words
    assert words[words.index("--local-addr") + 1] == "127.0.0.1"
    assert words[words.index("--nproc-per-node") + 1] == "3"
    assert words[words.index("--max-restarts") + 1] == "0"


def test_several_hosts_meet_at_the_first_and_each_other_s_line_is_logged(lake, capfd):
    job = job_of(*lake, {"launcher": "torchrun", "workers": 6, "hosts": "a:4,b:2", "rendezvous_port": 29555})
    words = torchrun.command(job)
    pairs = dict(pairwise(words))
    assert (pairs["--nnodes"], pairs["--node-rank"], pairs["--nproc-per-node"]) == ("2", "0", "4")
    assert (pairs["--master-addr"], pairs["--master-port"]) == ("a", "29555")
    other = torchrun.command_of(job, slots_by_host("a:4,b:2"), 1, "python")
    assert other[other.index("--node-rank") + 1] == "1" and other[other.index("--nproc-per-node") + 1] == "2"
    shown = capfd.readouterr().err
    assert "start on b: " in shown and " ".join(other) in shown


def test_hosts_with_more_places_than_ranks_are_refused(lake):
    with pytest.raises(ConfigError, match=r"a:4,b:4 has 8 places, and trainer\.workers is 6") as caught:
        torchrun.command(job_of(*lake, {"launcher": "torchrun", "workers": 6, "hosts": "a:4,b:4"}))
    assert "trainer.workers=8" in caught.value.remedy


def test_the_backend_follows_the_launcher():
    assert set(BACKEND_OF) | {"one_process"} == set(LAUNCHERS) | {"pods"}
    assert TrainerConfig().ranks_by == "horovod"
    assert TrainerConfig(launcher="torchrun").ranks_by == "torch"
    assert TrainerConfig(launcher="one_process", backend="torch").ranks_by == "torch"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "torch"}, "launcher horovodrun starts ranks of horovod, and backend is torch: use launcher torchrun or"),
        ({"launcher": "torchrun", "backend": "horovod"}, "use launcher horovodrun or spark or pods"),
        ({"compression": "bf16"}, "compression bf16 is not in Horovod"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(settings, message):
    with pytest.raises(ConfigError, match=message):
        validate(TrainerConfig, settings)


def test_a_rank_is_read_from_what_its_own_launcher_says():
    both = {"RANK": "1", "HOROVOD_RANK": "2"}
    assert (rank_of(both, "torch"), rank_of(both, "horovod"), rank_of({}, "torch")) == (1, 2, 0)


def test_threads_are_shared_by_the_ranks_of_a_machine():
    assert workers_here(TrainerConfig(launcher="torchrun", workers=4)) == 4
    assert workers_here(TrainerConfig(launcher="torch_distributor", workers=3)) == 3
