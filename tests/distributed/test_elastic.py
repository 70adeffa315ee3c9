"""Lost ranks are started again: as many end in the same bytes, one fewer reads the same rows in the same order."""

import pytest

from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.launch import launch
from nightrank.trainer.ranks.fail_at import VARIABLE, planned
from tests.distributed.test_backends import LAUNCHER, QUICK, Pair
from tests.training_jobs import small_lake

pytestmark = pytest.mark.distributed
OFTEN = {"checkpoint": {"every_steps": 4, "every_seconds": 600}}
PLAIN = {"model": {"encoder": {"dropout": 0.0}}, "optimizer": {"epsilon": 1e-4}}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


def trained(job) -> dict:
    launch(job)
    return read_json(job.result_path)


@pytest.mark.parametrize("backend", list(LAUNCHER))
def test_a_killed_rank_is_replaced_and_the_training_ends_in_the_same_bytes(lake, monkeypatch, backend):
    two = Pair(backend, "arrow", *lake)
    undisturbed = trained(two.job("undisturbed", OFTEN))
    monkeypatch.setenv(*planned(1, 7, "kill"))
    replaced = trained(two.job("replaced", OFTEN, QUICK, {"elastic": {"restarts": 1}}))
    assert replaced["training"]["resumed_from"] == "fit step 4"
    assert replaced["model_files"]["live"] == undisturbed["model_files"]["live"]
    assert replaced["model_files"]["measured"] == undisturbed["model_files"]["measured"]
    assert replaced["curves"] == undisturbed["curves"]
    assert replaced["training"]["rows_read"] == undisturbed["training"]["rows_read"]


@pytest.mark.parametrize("backend", list(LAUNCHER))
def test_a_rank_that_never_comes_back_is_dropped_and_the_order_of_rows_stays(lake, monkeypatch, backend):
    two = Pair(backend, "arrow", *lake)
    undisturbed = trained(two.job("undisturbed-two", OFTEN, PLAIN))
    monkeypatch.setenv(VARIABLE, ",".join(planned(1, step, "kill", start)[1] for start, step in enumerate((9, 8))))
    dropped = trained(two.job("dropped", OFTEN, PLAIN, QUICK, {"elastic": {"restarts": 2, "fewest": 1}}))
    before, after = undisturbed["training"], dropped["training"]
    assert (before["world_size"], after["world_size"]) == (2, 1)
    assert after["resumed_from"] == "fit step 8" and after["steps"] == before["steps"][:1]
    assert sum(after["rows_read"]) == sum(before["rows_read"])
    for phase, curve in undisturbed["curves"].items():
        mine = dropped["curves"][phase]
        assert len(mine["loss"]) == len(curve["loss"])
        assert mine["loss"] == pytest.approx(curve["loss"], rel=1e-4)
        assert [row["ndcg@10"] for row in mine["valid"]] == pytest.approx([row["ndcg@10"] for row in curve["valid"]], rel=0.01)
