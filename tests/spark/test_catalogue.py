"""Items change from day to day: what a night takes over, what it keeps, and what nobody is shown any more."""

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.feature_store.transforms.catalogue import hidden_items, known_items
from nightrank.spark_jobs import build_features, build_training_set, ingest_events, score_users
from nightrank.spark_jobs.sources.imports import import_data
from nightrank.trainer.data.item_inputs import load_item_inputs, load_vocabulary
from tests.spark.conftest import DAY, at, land, make_context
from tests.spark.hand_lake import append, event, fill
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
CASE = Path(__file__).parents[1] / "cases" / "catalogue_update"
NEXT = DAY + timedelta(days=1)
STAGES = (
    ("ingest_events", ingest_events.run),
    ("build_features", build_features.run),
    ("build_training_set", build_training_set.run),
)
CLICK = {"user_id": "u1", "item_id": "i1", "action": "view", "event_time": at("2024-03-10 12:00")}


def items_of(spark, lake):
    return {row["item_id"]: row.asDict() for row in delta_io.read(spark, lake, tables.ITEMS).collect()}


def hidden(spark, lake):
    return {row["item_id"]: row["reason"] for row in hidden_items(delta_io.read(spark, lake, tables.ITEMS)).collect()}


def night(lake, day=DAY, kind="nightly", run_id=None):
    return ingest_events.run(make_context(lake, day, kind, run_id))


def row(item, **fields):
    return {"item_id": item, "fields": sorted(fields), **fields}


def test_a_refresh_of_price_and_stock_keeps_the_rest(spark, lake):
    land(lake, "events", DAY, [CLICK])
    land(lake, "items", DAY, [row("i1", title="Tent", categories=["camp"], price=10.0), row("i2", title="Shoe", price=20.0)])
    night(lake, kind="full")
    land(lake, "events", NEXT, [{**CLICK, "event_time": at("2024-03-11 12:00")}])
    land(lake, "items", NEXT, [row("i1", price=9.0, available=False)], "s-000001-aa.parquet")
    night(lake, NEXT)
    found = items_of(spark, lake)
    first = found["i1"]
    assert (first["title"], first["categories"], first["price"], first["available"]) == ("Tent", ["camp"], 9.0, False)
    # The description is as old as it was; the price is of the new day.
    assert (first["landing_date"], first["first_landed"], str(first["priced"])[:10]) == (DAY, DAY, "2024-03-11")
    assert found["i2"]["price"] == 20.0 and hidden(spark, lake) == {"i1": "unavailable"}
    land(lake, "items", NEXT, [row("i1", available=True)], "s-000002-aa.parquet")
    assert run_stage("ingest_events", ingest_events.run, make_context(lake, NEXT, run_id="again")).status == "done"
    assert items_of(spark, lake)["i1"]["price"] == 9.0 and hidden(spark, lake) == {}


def test_of_two_states_of_one_day_the_later_holds_and_the_next_night_reads_that_day_again(spark, lake):
    land(lake, "events", DAY, [CLICK])
    land(lake, "items", DAY, [row("i1", title="Tent")], "s-000001-aa.parquet")
    night(lake, kind="full")
    land(lake, "items", DAY, [row("i1", title="Big tent"), row("i3", title="New")], "s-000002-00.parquet")
    land(lake, "events", NEXT, [{**CLICK, "event_time": at("2024-03-11 12:00")}])
    crown(lake, 1)  # the champion is of DAY, so the night takes in NEXT alone
    night(lake, NEXT)
    assert {item: r["title"] for item, r in items_of(spark, lake).items()} == {"i1": "Big tent", "i3": "New"}
    version = delta_io.version(lake, tables.ITEMS)
    night(lake, NEXT, run_id="once more")
    assert delta_io.version(lake, tables.ITEMS) == version


def test_what_a_complete_export_lacks_has_vanished_until_something_describes_it(spark, lake):
    whole = [{**row(item, title=item), "complete": True} for item in ("i1", "i2")]
    land(lake, "events", DAY, [CLICK, {**CLICK, "item_id": "i9"}])
    land(lake, "items", DAY, whole, "s-000001-aa.parquet")
    night(lake, kind="full")
    assert hidden(spark, lake) == {"i9": "vanished"}  # events alone do not put it on sale
    land(lake, "events", NEXT, [{**CLICK, "event_time": at("2024-03-11 12:00")}])
    land(lake, "items", NEXT, whole[1:], "s-000002-aa.parquet")
    night(lake, NEXT)
    assert hidden(spark, lake) == {"i9": "vanished", "i1": "vanished"}
    land(lake, "items", NEXT, [row("i1", price=1.0), row("i9", title="Nine")], "s-000003-aa.parquet")
    night(lake, NEXT, run_id="again")
    assert hidden(spark, lake) == {"i1": "vanished"}  # a price is no description


def test_a_user_who_is_named_again_has_attributes_since_they_last_changed(spark, lake):
    def users(day, number, **country):
        rows = [{"user_id": user, "attributes": [("country", value)]} for user, value in country.items()]
        land(lake, "users", day, rows, f"s-{number}-aa.parquet")

    land(lake, "events", DAY, [CLICK])
    users(DAY, "000001", u1="de", u2="de")
    users(DAY, "000002", u1="de", u2="fr")
    night(lake, kind="full")
    land(lake, "events", NEXT, [{**CLICK, "event_time": at("2024-03-11 12:00")}])
    users(NEXT, "000003", u1="es", u2="fr")
    night(lake, NEXT)
    stored = {row["user_id"]: row for row in delta_io.read(spark, lake, tables.USERS).collect()}
    assert {user: (dict(row["attributes"])["country"], row["landing_date"]) for user, row in stored.items()} == {
        "u1": ("es", NEXT),
        "u2": ("fr", DAY),
    }


def test_an_older_date_still_knows_the_items_that_changed_since(spark, lake):
    land(lake, "events", DAY, [CLICK])
    land(lake, "items", DAY, [row("i1", title="Tent")])
    night(lake, kind="full")
    land(lake, "events", NEXT, [{**CLICK, "event_time": at("2024-03-11 12:00")}])
    land(lake, "items", NEXT, [row("i1", title="Big tent"), row("i2", title="New")], "s-000001-aa.parquet")
    night(lake, NEXT)
    stored = delta_io.read(spark, lake, tables.ITEMS)
    assert [r["item_id"] for r in known_items(stored, DAY, "UTC").collect()] == ["i1"]
    assert known_items(stored, NEXT, "UTC").count() == 2


def test_nobody_is_shown_what_is_not_on_sale(spark, lake):
    rows = [event(1, item, f"2024-03-09 00:00:{item:02}") for item in (1, 2, 3)]
    fill(spark, lake, [*rows, event(2, 4, "2024-03-10 00:00:01", action="impression")], users=3, items=6)
    land(lake, "items", DAY, [], **{"clock": "real"})
    context = make_context(lake, run_id="run", scoring={"k": 6})
    stored = [{"item_id": f"i{n}", "available": n != 2, "landing_date": DAY} for n in range(1, 7)]
    stored[4]["listed"] = stored[5]["listed"] = stored[5]["complete"] = None
    for each in stored[:4]:
        each["listed"] = each["complete"] = "2024-03-10#000001"
    stored[5]["listed"] = "2024-03-10#000002"
    append(spark, lake, tables.ITEMS, stored, context)
    crown(lake, 6)
    scored = run_stage("score_users", score_users.run, context)
    shown: dict = {}
    for listed in delta_io.read(spark, lake, tables.RECOMMENDATIONS).collect():
        shown.setdefault(listed["user_id"], set()).add(listed["item_id"])
    # i2 is sold out, i5 is in no complete export, i6 was described since; user 1 has seen 1 to 3, 2 and 3 get the fallback.
    assert shown == {"u1": {"i4", "i6"}, "u2": {"i1", "i3", "i4", "i6"}, "u3": {"i1", "i3", "i4", "i6"}}
    catalogue = scored.output.lists.catalogue
    assert (catalogue["listed"], catalogue["unavailable"], catalogue["vanished"]) == (4, 1, 1)


def test_the_case_renamed_new_and_deleted_products_reach_the_next_night(spark, lake, tmp_path):
    def imported(nights):
        subprocess.run([sys.executable, CASE / "make.py", str(nights)], cwd=tmp_path, check=True)
        mapping = (CASE / "columns.yaml").read_text().replace("  path: products.csv", "  path: products.csv\n  complete: true")
        (tmp_path / "columns.yaml").write_text(mapping)
        import_data("events", tmp_path, lake.root, mapping=tmp_path / "columns.yaml", progress=lambda line: None)

    imported(0)
    for job in (ingest_events, build_features):
        job.run(make_context(lake, date(2024, 5, 5), "full"))
    imported(1)
    for job in (ingest_events, build_features):
        job.run(make_context(lake, date(2024, 5, 6)))
    found = items_of(spark, lake)
    assert (found["i2"]["title"], found["i2"]["price"]) == ("RENAMED book 2", 13.0)
    assert found["i40"]["title"] == "tent 40" and found["i1"]["title"] == "shoe 1"
    assert hidden(spark, lake) == {"i1": "vanished"}
    vocabulary = delta_io.read(spark, lake, tables.VOCABULARY).where("kind = 'item'")
    assert {r["raw_id"] for r in vocabulary.where("landing_date = DATE'2024-05-06'").collect()} == {"i40"}
    interactions = delta_io.read(spark, lake, tables.INTERACTIONS)
    gone = vocabulary.where("raw_id = 'i1'").first()["dense_id"]
    assert interactions.where(f"item = {gone}").count() > 0  # history stays


def test_numbers_of_items_go_from_the_export_to_the_rankers_inputs(spark, tmp_path):
    """Import, ingest, features, training set, and what the trainer reads; then new numbers of a part of the catalogue."""
    lake = Lake(tmp_path / "lake")
    users = "".join(f"u{user},i{item},2024-03-0{item}\n" for user in range(1, 5) for item in range(1, 6))
    (tmp_path / "events.csv").write_text("u,i,t\n" + users)
    (tmp_path / "items.csv").write_text('sku,name,kg,min\ni1,A,"0,5",10\ni2,B,2,\ni3,C,heavy,-4\n')
    mapping = (
        "events: {{path: events.csv, columns: {{user_id: u, item_id: i, event_time: t}}}}\n"
        "items: {{path: {path}, columns: {{item_id: sku, {columns}}}, numbers: {{decimal: ','}}}}\n"
    )
    (tmp_path / "m.yaml").write_text(mapping.format(path="items.csv", columns="title: name, numbers: [kg, min]"))
    counts = import_data("events", tmp_path, lake.root, mapping=tmp_path / "m.yaml", progress=lambda line: None)
    assert [(fault["column"], fault["samples"]) for fault in counts["faulty"]] == [("kg", ["heavy"])]
    last = date(2024, 3, 5)
    settings = {"features": {"numbers": ["kg", "min"]}, "training_set": {"split": "leave_one_out"}}
    context = make_context(lake, last, "full", **settings)
    for name, stage in STAGES:
        run_stage(name, stage, context)
    assert {row["item_id"]: row["numbers"] for row in items_of(spark, lake).values()} == {
        "i1": {"kg": 0.5, "min": 10.0}, "i2": {"kg": 2.0}, "i3": {"min": -4.0}, "i4": None, "i5": None,
    }  # fmt: skip
    built = read_json(context.run_dir / "stages" / "build_training_set.json")["output"]["snapshot"]
    snapshot = load_snapshot(lake.root / built["path"])
    assert snapshot.normalisation.numeric == ("kg", "kg_missing", "min", "min_missing")
    place = load_vocabulary(snapshot, lake.root).index
    inputs = load_item_inputs(snapshot, lake.root)
    numbers = {item: inputs.numeric[place(item) + 1].tolist() for item in ("i1", "i2", "i3", "i5")}
    assert numbers["i1"] == pytest.approx([-1, 0, 1, 0]) and numbers["i2"] == pytest.approx([1, 0, 0, 1])
    assert numbers["i3"] == pytest.approx([0, 1, -1, 0]) and numbers["i5"] == [0, 1, 0, 1]
    (tmp_path / "new.csv").write_text("sku,kg\ni1,9\ni2,\n")
    (tmp_path / "n.yaml").write_text(mapping.format(path="new.csv", columns="numbers: [kg]"))
    import_data("items", tmp_path, lake.root, mapping=tmp_path / "n.yaml", progress=lambda line: None)
    ingest_events.run(make_context(lake, last, "full", "again", **settings))
    found = items_of(spark, lake)
    assert (found["i1"]["numbers"], found["i2"]["numbers"], found["i1"]["title"]) == ({"kg": 9.0, "min": 10.0}, None, "A")
