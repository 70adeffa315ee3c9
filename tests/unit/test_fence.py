"""A run that was suspended and superseded commits no hand-off and no alias; one inside a commit cannot be superseded."""

import pytest

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from tests.fence_worker import model_ref
from tests.sleepers import asleep, take_over, wake


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def left_by(lake, what):
    """What the write of `what` leaves, beside the lease's own files."""
    return {
        "snapshot": list(lake.snapshots.glob("*.json")) + list(lake.run_dir("sleeper").glob("snapshot.json")),
        "record": list(lake.run_dir("sleeper").glob("stages/*")),
    }[what]


@pytest.mark.parametrize("what", ["snapshot", "record"])
def test_a_superseded_run_writes_no_hand_off(lake, monkeypatch, what):
    with asleep(lake, what, "before") as sleeper:
        assert take_over(lake, monkeypatch).fence == 2
        assert wake(sleeper) == "refused: run sleeper (fence 1) was superseded by run newer (fence 2)"
    assert left_by(lake, what) == []


@pytest.mark.parametrize("what", ["snapshot", "record"])
def test_a_run_that_sleeps_inside_a_commit_cannot_be_superseded_and_ends_it(lake, monkeypatch, what):
    with asleep(lake, what, "inside") as sleeper:
        with pytest.raises(ConflictError, match=r"run sleeper .* is inside a commit and does not finish it"):
            take_over(lake, monkeypatch)
        assert left_by(lake, what) == []
        assert wake(sleeper) == "written"
    assert left_by(lake, what)
    assert take_over(lake, monkeypatch).fence > 2


def test_the_death_of_a_run_inside_a_commit_frees_the_lake(lake, monkeypatch):
    with asleep(lake, "record", "inside"):
        pass
    assert take_over(lake, monkeypatch).fence == 2


def champion(lake, tracker):
    name = "ranker"
    return read_json(lake.champion_path)["version"], tracker.get_registered_model(name).aliases["champion"]


@pytest.fixture
def tracker(lake):
    """Versions 1 and 2 of a model in the lake's own MLflow; 1 is champion by file and alias."""
    import mlflow

    lake.mlflow.mkdir()
    client = mlflow.MlflowClient(f"sqlite:///{lake.mlflow / 'mlflow.db'}", f"sqlite:///{lake.mlflow / 'mlflow.db'}")
    client.create_registered_model("ranker")
    for version in (1, 2):
        assert int(client.create_model_version("ranker", source=str(lake.root)).version) == version
    model_ref(1).save(lake.champion_path)
    client.set_registered_model_alias("ranker", "champion", "1")
    return client


@pytest.mark.parametrize("where", ["before", "inside"])
def test_a_superseded_run_moves_no_alias(lake, tracker, monkeypatch, where):
    with asleep(lake, "alias", where) as sleeper:
        if where == "before":
            take_over(lake, monkeypatch)
            assert wake(sleeper).startswith("refused: run sleeper (fence 1) was superseded")
            assert [int(value) for value in champion(lake, tracker)] == [1, 1]
        else:
            with pytest.raises(ConflictError, match="is inside a commit"):
                take_over(lake, monkeypatch)
            assert wake(sleeper) == "written"
            assert [int(value) for value in champion(lake, tracker)] == [2, 2]


def test_a_claim_stops_new_commits_before_it_is_published(lake):
    """A takeover that waits for a commit under way has stopped the next one already."""
    old = leases.acquire(lake, "old")
    with old.commit():
        record, version = records.read(lake)
        assert records.put(lake, records.claim("newer", record), version)
    with pytest.raises(ConflictError, match="superseded by run newer"), old.commit():
        raise AssertionError("inside")


def test_commits_of_one_run_do_not_shut_each_other_out(lake, monkeypatch):
    """Each of them alone keeps a newer run away, also after the others have ended."""
    lease = leases.acquire(lake, "one")
    written = []
    with lease.commit():
        with lease.commit(), fences.commit(lake, "one", lease.fence):
            written.append("inside three")
        with pytest.raises(ConflictError, match=r"run one .* is inside a commit"):
            take_over(lake, monkeypatch)
        written.append("inside one")
    assert written == ["inside three", "inside one"]
    assert take_over(lake, monkeypatch).fence > lease.fence
