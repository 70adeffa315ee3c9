"""Rows for click rankers with features: numbers and attributes as of the row's day, by hand, and in the scores of lists."""

from datetime import timedelta
from math import log

import pyarrow as pa
import pytest
from pytest import approx

from nightrank.feature_store import delta_io
from nightrank.feature_store.as_of import LONGEST, SCALE
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, ModelRef
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import StageResult
from nightrank.ranker.bundle.store import stored
from nightrank.ranker.ctr.bundle import load_ctr_bundle, save_ctr_bundle
from nightrank.ranker.ctr.compose import compose_ctr
from nightrank.spark_jobs import build_training_set, score_ctr
from nightrank.spark_jobs.driver.submit import settings
from nightrank.spark_jobs.features.tables import write_features
from nightrank.spark_jobs.features.wanted import wanted
from nightrank.trainer.ctr.pinned import codes_of, shapes_of
from nightrank.trainer.ctr.sums import sums_of
from tests.ctr_batches import ctr_config
from tests.spark.conftest import DAY, as_stage, at, make_context
from tests.spark.hand_lake import append, event, fill, micros
from tests.spark.test_impressions import release, rows_of, shown

pytestmark = pytest.mark.spark
NUMERIC = ("item_recency_days", "log_history", "user_count_7d", "item_purchase_all", "user_age_days")
FIELDS = ("item", "attribute.country", "user")
DAYS = [(DAY - timedelta(days=back)).isoformat() for back in range(5, -1, -1)]
"""The 5th to the 10th of March."""


def market(spark, lake):
    """At noon user 1 is shown item 1 and clicks; an hour later user 2 is shown item 2."""
    events, past = [], []
    for day in DAYS:
        events += [shown(1, 1, f"{day} 12:00:00"), shown(1, 1, f"{day} 12:01:00", "click"), shown(2, 2, f"{day} 13:00:00")]
        past.append(event(1, 1, f"{day} 12:01:00", action="click"))
    # Known on the 8th, hours before that day's rows; and bought hours before the 6th's.
    past.append(event(1, 3, f"{DAYS[0]} 13:00:00", action="click", available=f"{DAYS[3]} 02:00:00"))
    past.append(event(2, 2, f"{DAYS[1]} 09:00:00", action="purchase"))
    fill(spark, lake, past, items=4, users=2)
    append(spark, lake, tables.EVENTS, events, make_context(lake, run_id="fill"))
    users = [("u1", "de", "2024-01-01 00:00"), ("u2", "fr", f"{DAYS[2]} 12:30")]
    append(spark, lake, tables.USERS, [
        {"user_id": user, "attributes": {"country": country, "plan": "x"}, "availability_time": at(known), "landing_date": DAY}
        for user, country, known in users
    ], make_context(lake, run_id="users"))  # fmt: skip


def build(spark, lake, fields=FIELDS, numeric=NUMERIC):
    shown_rows = {"enabled": True, "fields": list(fields), "numeric": list(numeric), "history_actions": ["click"]}
    rules = {"max_length": 4, "overlap": 2, "holdout_modulus": 1_000_000, "replay_fraction": 0.0}
    context = make_context(lake, DAY, "full", training_set=rules, impressions=shown_rows)
    read = settings(as_stage(context, "build_features"))
    write_features(spark, context, read.calendar.timezone, wanted(context, read), "build_features")
    build_training_set.run(as_stage(context, "build_training_set"))
    return context, load_snapshot(context.run_dir / "snapshot.json")


def inputs(*values):
    """What an aggregate is as an input."""
    return [approx(log(1 + value) * SCALE, rel=1e-6) for value in values]


def expected(recency, history, count, purchases, age):
    recency, count, purchases, age = inputs(recency, count, purchases, age)
    return [recency, approx(log(1 + history)), count, purchases, age]


FIRST = [(LONGEST, 0, 0, 0, 0), (1, 1, 1, 0, 1), (1, 2, 2, 0, 2), (1, 4, 3, 0, 3), (1, 5, 5, 0, 4), (1, 6, 6, 0, 5)]
"""Of user 1 and item 1 on each day. What became known on the 8th is in that day's history and, as of a day, from the 9th on."""
SECOND = [(LONGEST, 0, 0, 0, 0), (LONGEST, 0, 0, 0, 0), (1, 0, 1, 1, 1), (2, 0, 1, 1, 2), (3, 0, 1, 1, 3), (4, 0, 1, 1, 4)]
"""Of user 2 and item 2: what was bought in the morning of the 6th counts from the 7th on."""


def test_rows_have_the_features_of_their_day_and_so_have_the_lists(spark, lake):
    market(spark, lake)
    context, snapshot = build(spark, lake)
    spec = snapshot.impressions
    assert (spec.fields, spec.numeric, spec.timezone) == (FIELDS, NUMERIC, "UTC")
    rows = [row for split in ("train", "valid", "test") for row in rows_of(lake, snapshot, split)]
    assert [row["numeric"] for row in rows if row["user"] == 1] == [expected(*values) for values in FIRST]
    assert [row["numeric"] for row in rows if row["user"] == 2] == [expected(*values) for values in SECOND]
    assert [row["codes"] for row in rows if row["user"] == 1] == [[1, 1, 1]] * 6
    assert [row["codes"][1] for row in rows if row["user"] == 2] == [0, 0, 2, 2, 2, 2], "known from 12:30 of the 7th"
    assert snapshot.features is None and {"user_features", "item_features", "user_attributes"} <= set(snapshot.parts)
    attributes = delta_io.read(spark, lake, tables.USER_ATTRIBUTES).first()["attributes"]
    assert list(attributes) == ["country"], "what nobody reads is not written"
    _scores_are_of_the_next_day(spark, lake, context, snapshot)


def _scores_are_of_the_next_day(spark, lake, context, snapshot):
    """The executor's scores, those of the bundle told the numbers, and those of the bundle that looks them up, are one."""
    ranker = compose_ctr(ctr_config("dnn"), shapes_of(snapshot), seed=1)
    codes, sums = codes_of(snapshot, lake.root), sums_of(snapshot, lake.root)
    name = stored(lake.bundles, lambda folder: save_ctr_bundle(folder, ranker, codes, snapshot.id, sums))
    release(spark, lake, context)
    ref = ModelRef(
        name="nightrank-ctr", version=4, alias="champion", mlflow_run_id="m", manifest_sha256=name, vocabulary_lineage="v",
        vocabulary_items=2, snapshot_id=snapshot.id, run_id=context.run_id, date=str(DAY), bundle=f"models/{name}",
        checkpoint=None,
    )  # fmt: skip
    ref.save(lake.root / CTR_MODEL)
    StageResult(score_ctr.REGISTERED).save(context)
    score_ctr.run(as_stage(context, "score_ctr"))
    found = {(row["user_id"], row["item_id"]): row["scores"]["click"]
             for row in delta_io.read(spark, lake, tables.CLICK_SCORES).collect()}  # fmt: skip
    columns = {"user": ["u1", "u2"], "item": ["i2", "i4"], "attribute.country": ["de", "fr"]}
    history = {"log_history": [log(8), 0.0]}
    # Of u1 seven events in seven days, of i2 five days since and one purchase; of i4 nothing.
    given = {"item_recency_days": [5, LONGEST], "user_count_7d": [7, 1], "item_purchase_all": [1, 0], "user_age_days": [6, 5]}
    numbers = {key: [log(1 + value) * SCALE for value in values] for key, values in given.items()}
    bundle = load_ctr_bundle(lake.bundles.path / name)
    wanted_scores = bundle.predict(pa.table({**columns, **history, **numbers}))[:, 0].tolist()
    assert [found["u1", "i2"], found["u2", "i4"]] == approx(wanted_scores, rel=1e-5)
    moment = pa.array([micros("2024-03-11 08:00:00")] * 2)
    looked_up = bundle.predict(pa.table({**columns, **history, "event_time": moment}))[:, 0].tolist()
    assert looked_up == approx(wanted_scores, rel=1e-6) and looked_up[0] != approx(looked_up[1], rel=1e-3)


def test_what_no_row_knows_and_a_lake_without_days_are_refused(spark, lake):
    market(spark, lake)
    with pytest.raises(DataContractError, match=r"impressions without the input attribute.city: .* usable city"):
        build(spark, lake, fields=("item", "attribute.city"))
    lake.landing_meta_path.write_text('{"clock": "position", "id_type": "string", "source": "test"}')
    with pytest.raises(ConfigError, match="features count_7d, country: the events of this lake have positions and no clock"):
        build(spark, lake, numeric=("user_count_7d",))
