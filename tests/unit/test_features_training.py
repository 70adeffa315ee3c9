"""Training with features in this process: full, resumed, a night from it, measured beside a model of other features."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nightrank.feature_store.as_of import from_events
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.features import Attribute, Features
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.config.evaluation import EvaluationConfig
from nightrank.trainer.evaluation.measure import measure
from nightrank.trainer.evaluation.recommenders import BundleRecommender
from nightrank.trainer.worker.phases import train
from nightrank.trainer.worker.session import result
from tests.snapshots import write_part
from tests.training_jobs import ITEMS, Stopped, job_of, parent_of, stop_after, training_of
from tests.training_lake import VIEW, leave_one_out, synthetic_sequences, write_snapshot

DAY, USERS = 86_400_000_000, 100
FEATURES = Features(
    user=("count_7d",),
    item=("count_28d", "recency_days"),
    attributes=(Attribute(name="parity", values=("even", "odd")),),
    timezone="UTC",
)
OTHERS = Features(user=("view_all", "age_days"), attributes=(Attribute(name="parity", values=("odd",)),), timezone="UTC")


def sums_part(root, sequences, key):
    """One event a day and user; `count` and `view` are what FEATURES and OTHERS need."""
    users = np.repeat(np.arange(1, USERS + 1), [len(row) for row in sequences])
    items = np.concatenate([np.array(row) for row in sequences])
    days = np.concatenate([np.arange(1, len(row) + 1) for row in sequences]) * DAY
    names = ("count", "view")
    table = from_events(users if key == "user" else items, np.full(len(users), VIEW), days, days, names, "UTC")
    schema = schemas.USER_FEATURES if key == "user" else schemas.ITEM_FEATURES
    columns = {key: table.entities, "day": table.days, **dict(zip(names, table.sums.T, strict=True))}
    empty = pa.nulls(len(table.keys), pa.int32())
    rows = pa.table({field.name: pa.array(columns.get(field.name, empty)) for field in schema}, schema=schema)
    return write_part(root, f"{key}_features", rows, [[len(rows)]])


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    sequences = synthetic_sequences(USERS, ITEMS)
    parts = leave_one_out(sequences)
    for rows in parts.values():
        for row in rows:
            row["times"] = [DAY * (place + 1) + 5 for place in range(row["n"])]
    plain = write_snapshot(root, parts, ITEMS, USERS, rows_per_file=50)
    people = [{"user": u, "attributes": [("parity", ("even", "odd")[u % 2])], "known_from": 0} for u in range(1, USERS + 1)]
    attributes = pa.Table.from_pylist(people, schema=schemas.USER_ATTRIBUTES)
    more = {f"{key}_features": sums_part(root, sequences, key) for key in ("user", "item")}
    more["user_attributes"] = write_part(root, "user_attributes", attributes, [[USERS]])
    made = plain.model_copy(update={"parts": {**plain.parts, **more}, "features": FEATURES})
    made.save(root / "snapshots" / f"{made.id}.json")
    return root, made


def trained(lake, run_id, **changes):
    training = training_of(job_of(*lake, changes, run_id=run_id))
    return training, train(training)


def bundle_of(root: Path, state):
    return load_bundle(root / "models" / state.bundles["live"])


@pytest.fixture(scope="module")
def full(lake):
    return trained(lake, "whole")


def test_a_full_run_reads_them_and_says_so(lake, full):
    training, state = full
    bundle = bundle_of(lake[0], state)
    assert bundle.info.features == FEATURES
    learnt = {name: float(weight.abs().sum()) for name, weight in bundle.weights.items() if ".side." in name}
    assert len(learnt) == 3 and all(learnt.values())
    assert bundle.of_items.sums.shape[1] == len(counters_of(FEATURES.item))
    told = result(training, state, 1.0)["training"]["features"]
    assert told["read_by"] == "transformer" and told["known"]["attributes"] == 1.0
    assert 0.5 < told["known"]["user"] < 1.0 and told["known"]["item"] > 0.5
    assert state.curves["fit"].valid[0]["n"] == USERS


def test_stopped_and_resumed_it_ends_in_the_same_bundle(lake, full, monkeypatch):
    stopped = job_of(*lake, run_id="stopped")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 5)
        train(training_of(stopped))
    resumed = train(training_of(stopped))
    assert resumed.resumed_from and resumed.bundles == full[1].bundles


def test_a_night_goes_on_with_them(lake, full):
    training, state = full
    night = job_of(*lake, run_id="night", kind="nightly", parent=parent_of(training, state))
    after = train(training_of(night))
    grown, before = bundle_of(lake[0], after), bundle_of(lake[0], state)
    assert grown.info.features == FEATURES
    name = "encoder.side.user.weight"
    assert not np.array_equal(grown.weights[name].numpy(), before.weights[name].numpy())


def test_a_ranker_that_cannot_read_them_says_it_reads_none(lake):
    training, state = trained(lake, "mf", model={"width": 8, "encoder": {"name": "mf"}}, loss={"name": "bpr"})
    assert training.features is None and bundle_of(lake[0], state).info.features is None
    assert "features" not in result(training, state, 1.0)["training"]


def test_two_models_of_other_features_are_measured_on_one_snapshot(lake, full):
    root, snapshot = lake
    other = snapshot.model_copy(update={"features": OTHERS})
    other.save(root / "snapshots" / f"{other.id}.json")
    _, state = trained((root, other), "other", fit={"epochs": 1})
    _, plain = trained((root, snapshot), "gru", model={"width": 8, "encoder": {"name": "gru"}}, fit={"epochs": 1})
    models = {"full": full[1], "other": state, "gru": plain}
    recommenders = {name: BundleRecommender(bundle_of(root, of_it)) for name, of_it in models.items()}
    events = np.zeros(ITEMS + 1, np.int64)
    found = measure(snapshot, root, "test", recommenders, events, EvaluationConfig(ks=(10,)))
    alone = measure(other, root, "test", {"other": recommenders["other"]}, events, EvaluationConfig(ks=(10,)))
    assert np.array_equal(found.values["other"]["ndcg@10"], alone.values["other"]["ndcg@10"])
    assert {name: len(values["ndcg@10"]) for name, values in found.values.items()} == dict.fromkeys(models, USERS)
