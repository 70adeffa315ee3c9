"""score_users with a ranker that reads features: the lists are those of the bundle over the features of the lake's events."""

from datetime import timedelta

import numpy as np
import pytest
import torch

from nightrank.feature_store import delta_io
from nightrank.feature_store.as_of import from_events
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Attribute, Features
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.ranker.batch import Batch
from nightrank.ranker.features import AttributeCodes, FeatureTables
from nightrank.spark_jobs import score_users
from nightrank.spark_jobs.features.tables import write_features
from nightrank.spark_jobs.features.wanted import Wanted
from tests.spark.conftest import DAY, at, make_context
from tests.spark.hand_lake import event, fill
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
ITEMS = 8
FEATURES = Features(
    user=("count_7d", "recency_days"),
    item=("count_all", "purchase_7d"),
    attributes=(Attribute(name="country", values=("fr", "de")),),
    timezone="UTC",
)
DAYS = [(DAY - timedelta(days=back)).isoformat() for back in (4, 3, 1, 0)]
EVENTS = [
    event(1, 1, f"{DAYS[0]} 10:00"),
    event(1, 2, f"{DAYS[2]} 10:00", action="purchase"),
    event(2, 2, f"{DAYS[0]} 11:00", action="purchase"),
    event(2, 1, f"{DAYS[1]} 11:00"),
    event(2, 3, f"{DAYS[3]} 11:00"),
    event(3, 1, f"{DAYS[3]} 12:00"),
]


def column(name, rows):
    return np.array([row[name] for row in rows])


def filled(rows):
    """The users' histories, with features from the events themselves."""
    rows = sorted(rows, key=lambda row: (row["user"], row["event_time"]))
    users = sorted({row["user"] for row in rows})
    by_user = [[row for row in rows if row["user"] == user] for user in users]
    lists = ([[row[name] for row in of_user] for of_user in by_user] for name in ("item", "action", "event_time"))
    batch = Batch.from_lists(*lists, users=users)
    found = [
        from_events(
            column(key, rows), column("action", rows), column("event_time", rows), column("availability_time", rows),
            counters_of(names), "UTC",
        )
        for key, names in (("user", FEATURES.user), ("item", FEATURES.item))
    ]  # fmt: skip
    known = AttributeCodes(
        np.array([1, 3]), np.array([[2], [1]], np.int32), np.full(2, int(at("2024-01-01 00:00").timestamp() * 1e6))
    )
    return users, FeatureTables(FEATURES, *found, known).fill(batch)


def champion(spark, lake):
    fill(spark, lake, EVENTS, users=3, items=ITEMS, segments={1: "de", 3: "fr"})
    bundle = crown(lake, ITEMS, features=FEATURES)
    return make_context(lake, run_id="run", scoring={"k": 4, "filter_seen": {"actions": []}}), bundle


def test_lists_are_those_of_the_bundle_over_the_features_of_the_events(spark, lake):
    context, bundle = champion(spark, lake)
    write_features(spark, context, "UTC", Wanted(FEATURES.user, FEATURES.item, ("country",)), "build_features")
    run_stage("score_users", score_users.run, context)
    rows = delta_io.read(spark, lake, tables.RECOMMENDATIONS).orderBy("user_id", "rank").collect()
    users, batch = filled(EVENTS)
    assert float(batch.user_inputs_TF.abs().sum()) > 0 and batch.attributes_TA[:, 0].tolist() == [2, 2, 0, 0, 0, 1]
    ids_BK, scores_BK = bundle.best(batch, 4)
    for user, ids, scores in zip(users, ids_BK.tolist(), scores_BK.tolist(), strict=True):
        mine = [(row["item_id"], row["score"]) for row in rows if row["user_id"] == f"u{user}"]
        assert mine == [(f"i{item}", pytest.approx(score, rel=1e-5)) for item, score in zip(ids, scores, strict=True)]
    without = bundle.best(Batch(**{**vars(batch), "user_inputs_TF": torch.zeros_like(batch.user_inputs_TF)}), 4)[1]
    assert not torch.allclose(without, scores_BK), "the features matter to these lists"


def test_tables_that_lack_a_counter_of_the_model_stop_the_stage(spark, lake):
    context, _ = champion(spark, lake)
    write_features(spark, context, "UTC", Wanted(FEATURES.user, FEATURES.item, ("country",)), "build_features")
    spark.sql(f"UPDATE delta.`{lake.table(tables.USER_DAYS.name)}` SET {counters_of(FEATURES.user)[0]} = NULL")
    with pytest.raises(Exception, match="lack a counter that the model reads") as caught:
        run_stage("score_users", score_users.run, context)
    assert DataContractError.__name__ in str(caught.value)
