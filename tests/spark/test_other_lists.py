"""Similar and popular items over a small lake and a real bundle: by hand, without hidden ones, part of the release."""

import numpy as np
import pytest

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.spark_jobs import release, score_users
from tests.spark.conftest import DAY, make_context
from tests.spark.hand_lake import event, fill
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
ITEMS = 8


def test_they_are_made_by_vectors_and_users_and_released_with_the_lists(spark, lake):
    rows = [event(user, item, f"2024-03-10 0{user}:00:0{item}") for user in (1, 2) for item in (1, 2)]
    rows += [event(1, 3, "2024-03-10 05:00:00"), event(3, 5, "2024-03-10 06:00:00")]
    described = [(f"i{item}", ["x" if item == 4 else "y"], None) for item in range(1, ITEMS + 1)]
    fill(spark, lake, rows, described, users=3, items=ITEMS, segments={1: "de", 2: "de", 3: "fr"})
    bundle = crown(lake, ITEMS)
    scoring = {"k": 2, "similar_items": 4, "popular_items": 2, "rules": [{"kind": "deny", "category": "x"}]}
    context = make_context(lake, DAY, "nightly", "run", scoring=scoring, features={"segment_attribute": "country"})
    run_stage("score_users", score_users.run, context)
    run_stage("release", release.run, context)
    made = delta_read.latest_release(lake)
    assert (made.similar_items_version, made.popular_items_version) == (0, 0)
    found: dict = {}
    for row in delta_io.read(spark, lake, tables.SIMILAR_ITEMS).orderBy("item_id", "rank").collect():
        found.setdefault(row["item_id"], []).append(row)
    assert set(found) == {f"i{item}" for item in range(1, ITEMS + 1)} - {"i4"}
    unit = bundle.item_matrix / bundle.item_matrix.norm(dim=1, keepdim=True).clamp(min=1e-9)
    cosine = (unit @ unit.T).numpy()
    for item, similar in found.items():
        assert [row["rank"] for row in similar] == [1, 2, 3, 4]
        assert not {"i4", item} & {row["similar_id"] for row in similar}
        at = int(item[1:])
        by_model = [int(n) for n in np.argsort(-cosine[at], kind="stable") if n not in (0, at)]
        for row in similar:
            other = int(row["similar_id"][1:])
            assert row["cosine"] == pytest.approx(cosine[at, other], abs=1e-5)
            place = 1 / (61 + by_model.index(other))
            assert row["score"] == pytest.approx(place + (0 if row["together"] is None else _by_users(row)), abs=1e-6)
    pair = next(row for row in found["i1"] if row["similar_id"] == "i2")
    assert pair["rank"] == 1 and pair["together"] == pytest.approx(1.0)
    assert "is like it to the model (cosine" in pair["reason"] and "is chosen by the same users (1.00)" in pair["reason"]
    popular = delta_io.read(spark, lake, tables.POPULAR_ITEMS).orderBy("segment", "rank").collect()
    assert [(row["segment"], row["item_id"], row["count"]) for row in popular] == [
        ("", "i1", 2), ("", "i2", 2), ("de", "i1", 2), ("de", "i2", 2), ("fr", "i5", 1),
    ]  # fmt: skip
    # Another run's table in their place: the release would name lists that are not its own.
    delta_io.replace(
        spark.createDataFrame(popular), lake, tables.POPULAR_ITEMS, context=make_context(lake, run_id="x"), key="x"
    )
    with pytest.raises(ConflictError, match="popular_items is at version 1, but run run wrote version 0"):
        release.run(context)


def _by_users(row):
    """Item 3 is nearest to 1 and 2 alike; of the others each has one."""
    order = {("i1", "i2"): 1, ("i1", "i3"): 2, ("i2", "i1"): 1, ("i2", "i3"): 2, ("i3", "i1"): 1, ("i3", "i2"): 2}
    return 1 / (60 + order[row["item_id"], row["similar_id"]])
