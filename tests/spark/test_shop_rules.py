"""A shop's rules over a small lake and a real bundle: each is followed, lists say what was taken, what is short is filled."""

import pytest

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.fingerprint import fingerprint_of
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.feature_store.rule_rows import write_rules
from nightrank.spark_jobs import release, score_users
from nightrank.spark_jobs.executor.shop_rules import FILLED
from tests.spark.conftest import DAY, make_context
from tests.spark.hand_lake import append, event, fill
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
ITEMS, K = 12, 4
KEPT = ["view", "click", "cart", "rating"]


def market(spark, lake):
    """Users 1 and 2 have histories, 3 has none. Items 1 to 6 are of category a, 7 to 11 of b, 12 of both; item n costs n."""
    rows = [event(1, item, f"2024-03-10 00:00:0{place}") for place, item in enumerate([1, 2])]
    rows += [event(2, 3, "2024-03-10 01:00:00"), event(2, 7, "2024-03-01 01:00:00", action="purchase")]
    rows += [event(4, 9, f"2024-03-10 02:00:0{place}") for place in range(3)]
    groups = {item: ["a"] if item < 7 else ["b"] for item in range(1, 12)} | {12: ["a", "b"]}
    fill(spark, lake, rows, [(f"i{item}", group, float(item)) for item, group in groups.items()], users=4, items=ITEMS)
    crown(lake, ITEMS)


def listed(spark, lake, run_id, **scoring):
    context = make_context(lake, DAY, "nightly", run_id, scoring={"k": K, "filter_seen": {"actions": KEPT}, **scoring})
    facts = run_stage("score_users", score_users.run, context).output.sections["lists"]
    rows = delta_io.read(spark, lake, tables.RECOMMENDATIONS).orderBy("user_id", "rank").collect()
    result: dict = {}
    for row in rows:
        result.setdefault(row["user_id"], []).append(row)
    return result, facts


def told(lists):
    return {user: [(row["item_id"], row["score"], row["fallback"]) for row in rows] for user, rows in lists.items()}


def items(rows):
    return [row["item_id"] for row in rows]


def test_rules_of_both_places_are_followed_and_lists_say_what_was_taken(spark, lake):
    market(spark, lake)
    plain, facts = listed(spark, lake, "plain")
    assert facts["rules"] is None and {row["taken"] for rows in plain.values() for row in rows} == {None}
    idle, facts = listed(spark, lake, "idle", rules=[{"kind": "price", "lowest": 0.0}])
    assert told(idle) == told(plain) and facts["rules"] == {"version": None, "rules": 1, "filled": 0, "taken": 0}
    first = {user: rows[0]["item_id"] for user, rows in plain.items()}
    write_rules(lake, [ListRule(kind="deny", item=first["u1"]), ListRule(kind="price", category="b", highest=10.0)])
    found, facts = listed(spark, lake, "rules", rules=[{"kind": "bought", "actions": ["purchase"]}])
    assert facts["rules"]["version"] == 0 and facts["rules"]["rules"] == 3 and facts["rules"]["filled"] == 0
    for user, rows in found.items():
        assert len(rows) == K and not {first["u1"], "i11", "i12"} & set(items(rows)), user
    assert f"deny item {first['u1']} took {first['u1']} from place 1" in found["u1"][0]["taken"]
    assert {row["taken"] for rows in found.values() for row in rows[1:]} == {None}
    assert "i7" not in items(found["u2"])
    assert ("bought purchase took i7" in (found["u2"][0]["taken"] or "")) == ("i7" in items(plain["u2"]))
    # What is left stands in the model's order with the model's scores, followed by the next best.
    order = [row for row in plain["u1"] if row["item_id"] in items(found["u1"])]
    assert items(found["u1"])[: len(order)] == items(order)
    assert [row["score"] for row in found["u1"]] == sorted((row["score"] for row in found["u1"]), reverse=True)


def test_an_allow_rule_empties_a_list_and_a_cap_shortens_one(spark, lake):
    market(spark, lake)
    found, _ = listed(spark, lake, "allow", rules=[{"kind": "allow", "item": "i5"}, {"kind": "allow", "item": "i1"}])
    # User 1 has seen item 1, so one item is left, and the fallback of user 3 has two. Nothing may fill the rest.
    assert {user: sorted(items(rows)) for user, rows in found.items()} == {
        "u1": ["i5"], "u2": ["i1", "i5"], "u3": ["i1", "i5"], "u4": ["i1", "i5"],
    }  # fmt: skip
    capped, _ = listed(spark, lake, "caps", rules=[{"kind": "cap", "category": "a", "at_most": 1}])
    in_a = {f"i{item}" for item in (*range(1, 7), 12)}
    assert all(len(rows) == K and len(in_a & set(items(rows))) <= 1 for rows in capped.values())
    caps = [{"kind": "cap", "category": "a", "at_most": 0}, {"kind": "cap", "category": "b", "at_most": 2}]
    none, _ = listed(spark, lake, "both", rules=caps)
    assert {user: len(rows) for user, rows in none.items()} == dict.fromkeys(none, 2)
    assert not in_a & {item for rows in none.values() for item in items(rows)}


def test_a_list_that_a_cap_empties_is_filled_and_counted(spark, lake):
    """Caps choose from the model's five best for each place: where one category has them all, popular items take the place."""
    fill(spark, lake, [event(1, 1, "2024-03-10 00:00:00"), event(2, 2, "2024-03-10 00:00:01")], users=2, items=ITEMS)
    crown(lake, ITEMS)
    plain, _ = listed(spark, lake, "plain", k=5)
    best = set(items(plain["u1"]))
    described = [
        {"item_id": f"i{n}", "categories": ["x" if f"i{n}" in best else "y"], "landing_date": DAY} for n in range(1, 13)
    ]
    append(spark, lake, tables.ITEMS, described, make_context(lake, run_id="described"))
    found, facts = listed(spark, lake, "caps", rules=[{"kind": "cap", "category": "x", "at_most": 0}], k=1)
    (row,) = found["u1"]
    assert row["fallback"] == FILLED and row["item_id"] not in best and row["score"] == 0
    assert row["taken"] == f"cap x 0 took {items(plain['u1'])[0]} from place 1"
    filled = sum(rows[0]["fallback"] == FILLED for rows in found.values())
    assert facts["rules"]["filled"] == facts["fallback"][FILLED] == filled


def test_a_rule_that_names_nothing_is_refused_and_the_version_is_pinned(spark, lake):
    market(spark, lake)
    with pytest.raises(DataContractError, match=r"scoring\.rules, rule 1: category 'toys' does not exist"):
        listed(spark, lake, "wrong", rules=[{"kind": "deny", "category": "toys"}])
    write_rules(lake, [ListRule(kind="deny", category="a")])
    write_rules(lake, [])
    lists, facts = listed(spark, lake, "now")
    assert facts["rules"] is None and len(lists["u3"]) == K
    context = make_context(lake, DAY, "nightly", "then", scoring={"k": K})
    pinned = [_with(context, version) for version in (0, 1)]
    assert len({fingerprint_of(one, "score_users") for one in pinned}) == 2
    assert len({fingerprint_of(one, "release") for one in pinned}) == 1
    run_stage("score_users", score_users.run, pinned[0])
    run_stage("release", release.run, pinned[0])
    rows = delta_io.read(spark, lake, tables.RECOMMENDATIONS).collect()
    assert {row["item_id"] for row in rows} <= {f"i{item}" for item in range(7, 12)}
    made = delta_read.latest_release(lake)
    assert made is not None and made.list_rules_version == 0


def _with(context, version):
    from dataclasses import replace

    return replace(context, found=Found(champion=context.lake.champion(), list_rules=version))


def test_candidates_beside_the_model_keep_their_source(spark, lake):
    market(spark, lake)
    plain, _ = listed(spark, lake, "plain")
    same, _ = listed(spark, lake, "same", candidates={"popular": 2, "fresh": 2, "item_to_item": 2})
    assert told(same) == told(plain), "the model scores every candidate, and nothing moves them"
    sources = {row["source"] for rows in same.values() for row in rows}
    assert {None} < sources and all(source is None or source.startswith("model") for source in sources)
    moved, _ = listed(spark, lake, "moved", candidates={"popular": 1}, rerank={"candidates": K, "popularity": -1.0})
    # The most popular item is as relevant as popular: 1 at least, and only the model's best can stand above it.
    place = items(moved["u1"]).index("i9")
    assert place <= 1 and "i9" not in items(plain["u1"]) and moved["u1"][place]["source"] == "popular"
