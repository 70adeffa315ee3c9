"""What every table of the lake relies on: repeatable writes, constraints, an order-free content hash."""

import json
from datetime import date

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.content_hash import content_sha256
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError, DataContractError
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.lineage import sources
from nightrank.feature_store.spark_schema import conform, to_spark
from tests.spark.conftest import DAY, at, make_context

pytestmark = pytest.mark.spark


def items(spark, *rows):
    rest = (None,) * (len(tables.ITEMS.schema.names) - 8)
    full = [(key, title, None, cats, None, None, at("2024-03-10 00:00"), DAY, *rest) for key, title, cats in rows]
    return spark.createDataFrame(full, to_spark(tables.ITEMS.schema))


def attributes(spark, *rows):
    return spark.createDataFrame([(user, known, None) for user, known in rows], to_spark(tables.USER_ATTRIBUTES.schema))


def test_a_table_is_created_with_its_constraints_change_feed_and_no_deletion_vectors(spark, lake):
    commit = delta_io.append(items(spark, ("a", "A", ["x"])), lake, tables.ITEMS, context=make_context(lake), key="s")
    assert (commit.from_version, commit.to_version, commit.rows) == (None, 0, 1)
    assert commit.bytes_written > 0
    properties = spark.sql(f"SHOW TBLPROPERTIES delta.`{lake.table('items')}`").collect()
    found = {row["key"]: row["value"] for row in properties}
    assert found["delta.enableChangeDataFeed"] == "true"
    assert found["delta.enableDeletionVectors"] == "false"
    assert found["delta.constraints.item_id_present"] == "item_id IS NOT NULL"
    with pytest.raises(Py4JJavaError, match="item_id_present"):
        delta_io.append(items(spark, (None, "A", None)), lake, tables.ITEMS, context=make_context(lake), key="s:bad")


def test_the_write_that_makes_a_table_is_held_to_its_constraints(spark, lake):
    with pytest.raises(Py4JJavaError, match="item_id_present"):
        delta_io.upsert(items(spark, (None, "A", None)), lake, tables.ITEMS, context=make_context(lake), key="s")
    assert not delta_io.exists(lake, tables.ITEMS)


def test_constraints_that_a_table_lacks_are_added_by_the_next_write(spark, lake):
    from delta.tables import DeltaTable

    path = str(lake.table("items"))
    DeltaTable.createIfNotExists(spark).location(path).addColumns(to_spark(tables.ITEMS.schema)).execute()
    delta_io.append(items(spark, ("a", "A", None)), lake, tables.ITEMS, context=make_context(lake), key="s")
    keys = {row["key"] for row in spark.sql(f"SHOW TBLPROPERTIES delta.`{path}`").collect()}
    assert "delta.constraints.item_id_present" in keys


@pytest.mark.parametrize("write", ["append", "replace", "upsert"])
def test_the_same_write_of_the_same_run_adds_no_version(spark, lake, write):
    context = make_context(lake)
    rows = attributes(spark, (1, {"a": "1.0", "b": "2.0"}), (2, {}))
    first = getattr(delta_io, write)(rows, lake, tables.USER_ATTRIBUTES, context=context, key="s")
    again = getattr(delta_io, write)(rows, lake, tables.USER_ATTRIBUTES, context=context, key="s")
    assert (again.from_version, again.to_version, again.rows) == (first.to_version, first.to_version, 0)
    assert delta_io.read(spark, lake, tables.USER_ATTRIBUTES).count() == 2


def test_replace_where_touches_only_its_rows_and_is_repeatable(spark, lake):
    context = make_context(lake)
    delta_io.append(
        attributes(spark, (1, {"a": "1.0"}), (2, {"a": "2.0"})), lake, tables.USER_ATTRIBUTES, context=context, key="s"
    )
    new = attributes(spark, (2, {"a": "9.0"}))
    first = delta_io.replace_where(new, lake, tables.USER_ATTRIBUTES, "user = 2", context=context, key="s:2")
    again = delta_io.replace_where(new, lake, tables.USER_ATTRIBUTES, "user = 2", context=context, key="s:2")
    assert again.to_version == first.to_version
    stored = {r["user"]: r["attributes"]["a"] for r in delta_io.read(spark, lake, tables.USER_ATTRIBUTES).collect()}
    assert stored == {1: "1.0", 2: "9.0"}


def test_a_then_b_then_a_is_applied_not_ignored(spark, lake):
    a, b = attributes(spark, (1, {"a": "1.0"})), attributes(spark, (1, {"a": "2.0"}))
    run_a, run_b = make_context(lake, run_id="a"), make_context(lake, run_id="b")
    for rows, context in ((a, run_a), (b, run_b), (a, run_a)):
        delta_io.replace(rows, lake, tables.USER_ATTRIBUTES, context=context, key="s")
    assert delta_io.read(spark, lake, tables.USER_ATTRIBUTES).first()["attributes"] == {"a": "1.0"}


def test_the_same_key_with_other_input_files_is_written(spark, lake, tmp_path):
    context = make_context(lake)
    for step, value in enumerate((1.0, 2.0)):
        path = str(tmp_path / f"in{step}")
        attributes(spark, (1, {"a": value})).write.parquet(path)
        delta_io.replace(spark.read.parquet(path), lake, tables.USER_ATTRIBUTES, context=context, key="s")
    assert delta_io.read(spark, lake, tables.USER_ATTRIBUTES).first()["attributes"] == {"a": "2.0"}


def test_upsert_inserts_updates_what_differs_and_counts_it(spark, lake):
    context = make_context(lake)
    delta_io.upsert(items(spark, ("a", "A", ["x"]), ("b", "B", None)), lake, tables.ITEMS, context=context, key="s")
    new = items(spark, ("a", "A2", ["x"]), ("b", "B", None), ("c", "C", None))
    kept = delta_io.upsert(new, lake, tables.ITEMS, context=context, key="s", update=False)
    assert kept.rows == 1
    changed = delta_io.upsert(new, lake, tables.ITEMS, context=context, key="s", update_if="t.title = 'A'")
    assert changed.rows == 1
    titles = {r["item_id"]: r["title"] for r in delta_io.read(spark, lake, tables.ITEMS).collect()}
    assert titles == {"a": "A2", "b": "B", "c": "C"}


def test_an_older_version_can_be_read_and_absent_tables_say_so(spark, lake):
    assert delta_io.version(lake, tables.USER_ATTRIBUTES) is None
    assert not delta_io.exists(lake, tables.USER_ATTRIBUTES)
    with pytest.raises(DataContractError, match="table user_attributes does not exist"):
        delta_io.read(spark, lake, tables.USER_ATTRIBUTES)
    assert delta_io.read_or_empty(spark, lake, tables.USER_ATTRIBUTES).count() == 0
    context = make_context(lake)
    first = delta_io.append(attributes(spark, (1, {})), lake, tables.USER_ATTRIBUTES, context=context, key="s:1")
    delta_io.append(attributes(spark, (2, {})), lake, tables.USER_ATTRIBUTES, context=context, key="s:2")
    assert delta_io.read(spark, lake, tables.USER_ATTRIBUTES, first.to_version).count() == 1


def test_conform_names_the_missing_column_and_drops_the_others(spark):
    df = spark.range(1).select(F.lit(1).alias("user"), F.lit(2).alias("other"))
    with pytest.raises(DataContractError, match="table user_attributes: column attributes, known_from"):
        conform(df, tables.USER_ATTRIBUTES)


def test_a_superseded_run_cannot_commit(spark, lake):
    lake.root.mkdir()
    lake.lease.write_text(json.dumps({"fence": 3, "run_id": "newer"}))
    old = StageContext(lake.root, "older", "nightly", date(2024, 3, 10), 17, 2, Configuration.from_run({}))
    with pytest.raises(ConflictError, match="superseded by run newer"):
        delta_io.append(attributes(spark, (1, {})), lake, tables.USER_ATTRIBUTES, context=old, key="s")
    assert not delta_io.exists(lake, tables.USER_ATTRIBUTES)


def test_content_hash_is_free_of_order_and_files_and_sees_every_difference(spark):
    def sha(*rows):
        return content_sha256(attributes(spark, *rows), tables.USER_ATTRIBUTES)

    base = sha((1, {"a": "1.0", "b": "2.0"}), (2, None))
    assert base == sha((2, None), (1, {"b": "2.0", "a": "1.0"}))
    rows = attributes(spark, (1, {"a": "1.0", "b": "2.0"}), (2, None)).repartition(5)
    assert base == content_sha256(rows, tables.USER_ATTRIBUTES)
    others = [
        sha((1, {"a": "1.0", "b": "2.0"}), (2, {})),
        sha((1, {"a": "1.0", "b": "2.0"}), (2, None), (2, None)),
        sha((1, {"a": "1.0", "b": "2.5"}), (2, None)),
        sha((1, {"a": "2.0", "b": "1.0"}), (2, None)),
    ]
    assert len({base, *others}) == 5


def test_content_hash_leaves_volatile_columns_out(spark):
    def row(file):
        return spark.createDataFrame([("h", "events", DAY, "late", file, "{}")], to_spark(tables.QUARANTINE.schema))

    assert content_sha256(row("a"), tables.QUARANTINE) == content_sha256(row("b"), tables.QUARANTINE)
    assert len({content_sha256(items(spark, ("a", t, None)), tables.ITEMS) for t in ("A", "B")}) == 2


def test_sources_name_versions_and_files(spark, lake, tmp_path):
    delta_io.append(attributes(spark, (1, {})), lake, tables.USER_ATTRIBUTES, context=make_context(lake), key="s")
    attributes(spark, (2, {})).write.parquet(str(tmp_path / "plain"))
    plain, stored = spark.read.parquet(str(tmp_path / "plain")), delta_io.read(spark, lake, tables.USER_ATTRIBUTES)
    found = sources(stored.unionByName(plain).groupBy("user").count())
    assert any("version=0" in name and "user_attributes" in name for name in found)
    assert all("user_attributes" in name or name.endswith("/plain") for name in found)
    assert len(found) > 1
    assert sources(attributes(spark, (1, {}))) == []
