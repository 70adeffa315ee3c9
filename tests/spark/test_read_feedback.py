"""Stage read_feedback on lists and events of its own: the join by list ids, arms, and estimates equal to numpy's."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from nightrank.experiments import estimators
from nightrank.experiments.assignment import point, variant
from nightrank.experiments.intervals import interval, moments, ratio
from nightrank.experiments.outcome import cross_fitted
from nightrank.experiments.read_out import arm_of, differences
from nightrank.experiments.slot_policy import by_order, draw, probabilities
from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import list_schemas
from nightrank.feature_store.contracts.outputs.feedback import FeedbackRead
from nightrank.feature_store.contracts.tables import EVENTS, EXPERIMENT_LISTS, FEEDBACK
from nightrank.feature_store.spark_schema import to_spark
from nightrank.spark_jobs import read_feedback
from nightrank.spark_jobs.executor.rounds import features_of
from tests.spark.conftest import DAY, as_stage, at, make_context

USERS, CANDIDATES = 300, 6
SHARES = {"control": 0.5, "new": 0.5}
EXPERIMENT = {
    "enabled": True,
    "name": "first",
    "arms": {name: {"share": share} for name, share in SHARES.items()},
    "explore": {"place": 2, "candidates": CANDIDATES},
    "policies": {"best": {}, "soft": {"temperature": 2.0, "uniform": 0.3}},
}


class Shop:
    """Lists of two nights. Of every tenth user the second was not shown; arm `new` earns more, and so do higher scores."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        self.lists, self.events, self.rewards = [], [], []
        for night in (2, 1):
            for number in range(USERS):
                self._list(rng, f"u{number}", DAY - timedelta(days=night), shown=night == 2 or number % 10 > 0)

    def _list(self, rng, user: str, day: date, shown: bool) -> None:
        scores = np.sort(rng.normal(size=(1, CANDIDATES)))[:, ::-1].astype(np.float32)
        chances = probabilities(by_order(np.isfinite(scores)), 1.0, 0.1)
        chosen = int(draw(chances, np.array([point("draw", f"{user}{day}")]))[0][0])
        arm, items, list_id = variant("first", user, SHARES), [f"i{index}" for index in range(CANDIDATES)], f"{user}/{day}"
        row = (list_id, user, day, "nightly", "first", arm, 2, chosen, items, scores[0].tolist(), chances[0].tolist())
        self.lists.append(dict(zip(list_schemas.EXPERIMENT_LISTS.names, row, strict=True)))
        if not shown:
            return
        clicked = bool(rng.random() < 0.2 + 0.1 * scores[0, chosen])
        first = bool(rng.random() < (0.5 if arm == "new" else 0.3))
        seen = [("first", "impression"), (items[chosen], "impression")]
        seen += [(items[chosen], "click")] * (2 if clicked else 0) + [("first", "cart")] * first
        self.events += [self._event(list_id, user, item, action, day) for item, action in seen]
        self.rewards.append((user, arm, chosen, scores[0], chances[0], clicked, clicked + first))

    def _event(self, list_id: str, user: str, item: str, action: str, day: date) -> dict:
        time = at(str(day + timedelta(days=1)))
        return {"event_id": f"e{len(self.events)}-{list_id}-{item}-{action}-{np.random.default_rng().integers(1 << 60)}"} | {
            "user_id": user,
            "item_id": item,
            "action": action,
            "event_time": time,
            "availability_time": time,
            "list_id": list_id,
            "event_date": time.date(),
            "landing_date": time.date(),
        }


def table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    return pa.table(
        {field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in schema}, schema=schema
    )


@pytest.fixture
def shop(spark, lake) -> Shop:
    shop = Shop()
    context = make_context(lake)
    stranger = [{**shop.events[0], "event_id": "x1", "user_id": "u7", "action": "click"}]
    unknown = [{**shop.events[0], "event_id": "x2", "list_id": "of another system", "action": "click"}]
    other = [{**shop.lists[0], "list_id": "another experiment", "experiment": "second"}]
    tonight = [{**shop.lists[0], "list_id": "tonight", "date": DAY}]
    for ref, rows in ((EVENTS, shop.events + stranger + unknown), (EXPERIMENT_LISTS, shop.lists + other + tonight)):
        frame = spark.createDataFrame(table(rows, ref.schema).to_pandas(), to_spark(ref.schema))
        delta_io.append(frame, lake, ref, context=context, key=f"test:{ref.name}")
    return shop


def test_feedback_is_read_and_estimated_as_numpy_does(spark, lake, shop):
    context = as_stage(make_context(lake, experiments=EXPERIMENT), read_feedback.NAME)
    result = read_feedback.run(context)
    assert (result.rows_in, result.rows_out) == (2 * USERS, len(shop.rewards))
    output = result.output
    assert isinstance(output, FeedbackRead) and output.experiment is not None
    read = output.experiment
    assert (read.lists, read.shown_of, read.ratio_mismatch) == (len(shop.rewards), 2 * USERS, False)

    users = np.array([row[0] for row in shop.rewards])
    arms = {}
    for name in SHARES:
        by_user = {
            user: [row[6] for row in shop.rewards if row[0] == user]
            for user, arm in zip(users, [r[1] for r in shop.rewards], strict=True)
            if arm == name
        }
        arms[name] = arm_of(np.array([np.mean(values) for values in by_user.values()]))
    control, new = read.arms
    (expected,) = differences(arms, "control")
    assert (control.users, new.users) == (arms["control"].users, arms["new"].users)
    assert np.allclose(new.difference, (expected.value, expected.low, expected.high))
    assert np.allclose(new.always, (expected.always_low, expected.always_high))
    assert control.difference is None and new.mean > control.mean and new.may_stop == expected.may_stop

    scores, chances = np.stack([row[3] for row in shop.rewards]), np.stack([row[4] for row in shop.rewards])
    action, reward = np.array([row[2] for row in shop.rewards]), np.array([float(row[5]) for row in shop.rewards])
    found = {(policy.name, policy.estimator): policy for policy in read.policies}
    logged = interval(reward, users)
    assert np.allclose(figures(found["logged", "logged"]), (logged.value, logged.low, logged.high))
    fitted = cross_fitted(features_of(scores.astype(np.float64)), action, reward, users)
    for name, (temperature, uniform) in {"best": (0.0, 0.0), "soft": (2.0, 0.3)}.items():
        target = probabilities(by_order(np.isfinite(scores)), temperature, uniform)
        weight = estimators.weights(target, action, np.take_along_axis(chances, action[:, None], axis=1)[:, 0])
        weighted = estimators.ips(weight, reward)
        robust = estimators.doubly_robust(weight, reward, action, fitted, target)
        for estimator, one in {
            "ips": interval(weighted, users),
            "snips": ratio(moments(weighted, weight, users)),
            "doubly_robust": interval(robust, users),
        }.items():
            assert np.allclose(figures(found[name, estimator]), (one.value, one.low, one.high), atol=1e-7), (name, estimator)


def figures(policy) -> tuple[float, float, float]:
    return policy.value, policy.low, policy.high


def test_a_list_counts_an_item_once_and_only_its_own_users_events(spark, lake, shop):
    read_feedback.run(as_stage(make_context(lake, experiments=EXPERIMENT), read_feedback.NAME))
    stored = delta_read.newest(lake, FEEDBACK.name)
    rows = {row[c.LIST_ID]: row for row in stored.to_pyarrow_table().to_pylist()}
    first = shop.rewards[0]
    assert rows[shop.lists[0]["list_id"]][c.REWARD] == first[6]
    assert {row[c.PLACE_REWARD] for row in rows.values()} == {0, 1}
    assert "tonight" not in rows and "of another system" not in rows and len(rows) == len(shop.rewards)


def test_the_same_stage_again_changes_nothing_and_without_lists_nothing_is_read(spark, lake, shop):
    context = as_stage(make_context(lake, experiments=EXPERIMENT), read_feedback.NAME)
    once = read_feedback.run(context)
    again = read_feedback.run(context)
    assert once.output == again.output
    assert [table["content_sha256"] for table in once.tables] == [table["content_sha256"] for table in again.tables]
    third = make_context(lake, experiments={**EXPERIMENT, "name": "third"}, run_id="other")
    assert read_feedback.run(as_stage(third, read_feedback.NAME)).output == FeedbackRead(experiment=None)
