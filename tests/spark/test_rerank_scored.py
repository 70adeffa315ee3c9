"""Lists with re-ranking on, over a small lake and a real bundle: as without until a rule has a weight, and told why after."""

import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.spark_jobs import score_users
from tests.spark.conftest import DAY, make_context
from tests.spark.hand_lake import event, fill
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
ITEMS, K = 12, 4


def market(spark, lake):
    """User 1 chose items of category `a` and one of `b`, 2 one of `a`; user 3 did nothing. Item 9 is chosen often by others."""
    rows = [event(1, item, f"2024-03-10 00:00:0{place}") for place, item in enumerate([1, 2, 3])]
    rows += [event(2, 1, "2024-03-10 01:00:00")]
    rows += [event(4, 9, f"2024-03-10 02:00:0{place}") for place in range(5)]
    described = [(f"i{item}", ["b" if item in (3, 12) else "a"], None) for item in range(1, ITEMS + 1)]
    fill(spark, lake, rows, described, users=4, items=ITEMS)


def listed(spark, lake, run_id, **rerank):
    scoring = {"k": K, "rerank": rerank} if rerank else {"k": K}
    score_users.run(make_context(lake, DAY, "nightly", run_id, scoring=scoring))
    rows = delta_io.read(spark, lake, tables.RECOMMENDATIONS).orderBy("user_id", "rank").collect()
    result: dict = {}
    for row in rows:
        result.setdefault(row["user_id"], []).append(row)
    return result


def items(rows):
    return [row["item_id"] for row in rows]


def test_rules_move_items_and_say_so(spark, lake):
    market(spark, lake)
    crown(lake, ITEMS)
    plain = listed(spark, lake, "plain")
    assert {row["moved"] for rows in plain.values() for row in rows} == {None}
    deep = listed(spark, lake, "deep", candidates=ITEMS, diversity=1e-9)
    assert {user: [(row["item_id"], row["score"], row["moved"]) for row in rows] for user, rows in deep.items()} == {
        user: [(row["item_id"], row["score"], None) for row in rows] for user, rows in plain.items()
    }
    found = listed(spark, lake, "rules", candidates=ITEMS, calibration=0.99, popularity=1.0, diversity=0.2)
    assert {user: [row["rank"] for row in rows] for user, rows in found.items()} == {user: [1, 2, 3, 4] for user in plain}
    # A third of user 1's history is of category b, so b's other item is listed; user 3 has a fallback, which no rule moves.
    assert "i12" in items(found["u1"])
    assert items(found["u3"]) == items(plain["u3"]) and {row["moved"] for row in found["u3"]} == {None}
    assert not {"i1", "i2", "i3"} & set(items(found["u1"]))
    # Each list holds the model's own scores, and a place differs from the model's order only where a rule says so.
    order = sorted(found["u1"], key=lambda row: -row["score"])
    told = [row for row, own in zip(found["u1"], order, strict=True) if row["item_id"] != own["item_id"]]
    assert told and all(row["moved"] for row in told)
    assert any("calibration" in row["moved"] and ">" in row["moved"] and ": " in row["moved"] for row in told)
