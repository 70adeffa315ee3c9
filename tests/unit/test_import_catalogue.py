"""A catalogue without dates lands again as the state of a day, whenever it changed; prices and stock land on their own."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import faults
from nightrank.spark_jobs.sources.imports import import_data

EVENTS = "who,sku,at\nu1,i1,2024-05-01T10:00:00Z\nu1,i2,2024-05-03T10:00:00Z\n"
MAPPING = """
events: {path: events.csv, columns: {user_id: who, item_id: sku, event_time: at}}
items: {path: items.csv, columns: {item_id: sku, title: name, price: price}}
"""


class Shop:
    def __init__(self, root: Path) -> None:
        self.root, self.lake, self.lines = root, Lake(root / "lake"), []
        (root / "events.csv").write_text(EVENTS)
        self.items("i1,tent,10\ni2,shoe,20\n")

    def items(self, rows: str, header: str = "sku,name,price") -> None:
        (self.root / "items.csv").write_text(f"{header}\n{rows}")

    def land(self, layout: str = "events", mapping: str = MAPPING, **options) -> dict:
        (self.root / "m.yaml").write_text(mapping)
        return import_data(
            layout, self.root, self.lake.root, mapping=self.root / "m.yaml", progress=self.lines.append, **options
        )

    def landed(self, kind: str = "items") -> dict[str, list[dict]]:
        """{day/number: rows} of every file, in order."""
        found = {}
        for path in sorted(self.lake.landing(kind).glob("day=*/*.parquet")):
            number = path.stem.split("-")[1] if path.stem.count("-") == 2 else "first"
            found[f"{path.parent.name[4:]}/{number}"] = pq.ParquetFile(path).read().to_pylist()
        return found


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_the_first_state_lands_with_the_first_event_and_a_changed_one_on_the_newest_event_day(shop):
    first = shop.land()
    assert list(shop.landed()) == ["2024-05-01/first"] and (first["items"], first["written"]) == (2, 3)
    shop.items("i1,TENT,10\ni3,lamp,5\n")
    assert shop.land()["written"] == 1
    rows = shop.landed()["2024-05-03/000001"]
    assert [(r["item_id"], r["title"], r["fields"]) for r in rows] == [
        ("i1", "TENT", ["title", "price"]),
        ("i3", "lamp", ["title", "price"]),
    ]
    # Back to what it was: a third state, newer than the second of the same day.
    shop.items("i1,tent,10\ni2,shoe,20\n")
    shop.land()
    assert list(shop.landed()) == ["2024-05-01/first", "2024-05-03/000001", "2024-05-03/000002"]


def test_a_catalogue_that_lacks_items_says_how_to_take_them_off_sale(shop):
    shop.land()
    shop.items("i2,shoe,20\ni3,lamp,5\n")
    assert list(shop.land(dry_run=True)["warnings"].values()) == [1]
    counts = shop.land()
    assert "warning: items of the last catalogue are not in this one and stay on sale; say" in shop.lines[-1]
    shop.items("i2,1\n", "sku,price")
    prices = "items: {path: items.csv, columns: {item_id: sku, price: price}}"
    assert counts["warnings"] and not shop.land("items", prices)["warnings"]
    # The catalogue before is that with i2 and i3, not the prices.
    shop.items("i2,shoe,1\n")
    assert list(shop.land()["warnings"].values()) == [1]
    shop.items("i4,kite,1\n")
    complete = MAPPING.replace("{path: items.csv,", "{path: items.csv, complete: true,")
    assert not shop.land(mapping=complete)["warnings"]


def test_the_same_state_again_lands_nothing_and_is_named(shop):
    shop.land()
    before = shop.landed()
    again = shop.land()
    assert (again["written"], again["unchanged"], again["items"]) == (0, {"items": 2}, 0)
    assert shop.landed() == before and "the 2 items are as they were at the last import" in shop.lines[-1]


def test_a_state_of_a_given_day_lands_there(shop):
    shop.land()
    shop.land(day=date(2024, 5, 2))
    assert list(shop.landed()) == ["2024-05-01/first", "2024-05-02/000001"]


def test_dated_items_land_on_their_days_as_before(shop):
    mapping = MAPPING.replace("price: price}", "price: price, availability_time: since}")
    shop.items("i1,tent,10,2024-05-02\ni2,shoe,20,2024-05-03\n", "sku,name,price,since")
    shop.land(mapping=mapping)
    shop.items("i1,tent,10,2024-05-02\ni2,shoe,20,2024-05-03\ni3,lamp,5,2024-05-03\n", "sku,name,price,since")
    shop.land(mapping=mapping)
    assert {key.partition("/")[0] for key in shop.landed()} == {"2024-05-02", "2024-05-03"}
    assert all(key.endswith("first") for key in shop.landed())


def test_prices_and_stock_alone(shop):
    shop.land()
    shop.items("i1,9.5,0\ni2,19,3\ni3,1,in stock\ni4,1,\ni5,1,maybe\n", "sku,price,stock")
    mapping = "items: {path: items.csv, columns: {item_id: sku, price: price, available: stock}}"
    counts = shop.land("items", mapping)
    rows = shop.landed()["2024-05-03/000001"]
    assert [r["available"] for r in rows] == [False, True, True, None, None]
    assert all(r["fields"] == ["price", "available"] and r["title"] is None and r["complete"] is None for r in rows)
    assert (counts["events"], counts["items"], counts["first_day"]) == (0, 5, "2024-05-03")
    assert counts["faulty"][0]["column"] == "stock" and counts["faulty"][0]["samples"] == ["maybe"]


def test_a_complete_export_says_so_and_must_not_be_empty(shop):
    complete = MAPPING.replace("{path: items.csv,", "{path: items.csv, complete: true,")
    shop.land(mapping=complete)
    assert all(r["complete"] for r in shop.landed()["2024-05-01/first"])
    shop.items("")
    with pytest.raises(DataContractError, match="would remove every item from the lists"):
        shop.land(mapping=complete)
    assert list(shop.landed()) == ["2024-05-01/first"]


def test_items_alone_need_a_lake_with_events_and_a_section(shop):
    alone = "items: {path: items.csv, columns: {item_id: sku, title: name}}"
    with pytest.raises(UsageError, match="no landing data"):
        shop.land("items", alone)
    shop.land()
    with pytest.raises(ConfigError, match="needs a mapping with a section `items`"):
        shop.land("items", "events: {columns: {user_id: who, item_id: sku}}")
    with pytest.raises(ConfigError) as caught:
        shop.land("events", alone)
    assert "use `nightrank import items` for a catalogue without events" in caught.value.remedy


def test_a_changed_users_export_is_a_state_too(shop):
    mapping = MAPPING + "users: {path: users.csv, columns: {user_id: who, attributes: [country]}}\n"
    (shop.root / "users.csv").write_text("who,country\nu1,de\n")
    shop.land(mapping=mapping)
    (shop.root / "users.csv").write_text("who,country\nu1,fr\n")
    shop.land(mapping=mapping)
    assert list(shop.landed("users")) == ["2024-05-01/first", "2024-05-03/000001"]


def test_a_dry_run_says_what_would_land_and_leaves_the_lake_as_it_is(shop):
    shop.land()
    before = shop.lake.landing_meta()
    shop.items("i1,TENT,10\n")
    counts = shop.land(dry_run=True)
    assert counts["items"] == 1 and list(shop.landed()) == ["2024-05-01/first"]
    assert shop.lake.landing_meta() == before


def test_a_landing_file_of_an_older_version_keeps_its_contract(shop):
    shop.land()
    path = shop.lake.landing("items").glob("day=*/*.parquet")[0]
    table = pq.ParquetFile(path).read()
    day = shop.lake.landing_days("items")
    pq.write_table(table.drop_columns(["available", "complete", "fields"]), path)
    assert faults(shop.lake, "items", day) == []
    pq.write_table(table.drop_columns(["available", "price"]), path)
    assert ["column price is missing" in fault for fault in faults(shop.lake, "items", day)] == [True]
