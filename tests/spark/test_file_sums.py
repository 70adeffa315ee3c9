"""The content hash of a table is the sum over its files, each of which is read once."""

import pytest

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.content_hash import content_sha256
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.tables import ITEM_DAYS
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.spark_schema import to_spark
from tests.spark.conftest import make_context

pytestmark = pytest.mark.spark


def rows(spark, *pairs):
    full = [(item, day, *[1] * (len(ITEM_DAYS.schema) - 2)) for item, day in pairs]
    return spark.createDataFrame(full, to_spark(ITEM_DAYS.schema)).coalesce(1)


def hashed(spark, lake):
    return table_entries(spark, lake, [(ITEM_DAYS, None)])[0]["content_sha256"]


def whole(spark, lake):
    return content_sha256(delta_io.read(spark, lake, ITEM_DAYS), ITEM_DAYS)


def test_a_file_that_was_hashed_is_not_read_again(spark, lake):
    context, place = make_context(lake), lake.root / "content" / "item_days.json"
    delta_io.append(rows(spark, (1, 1), (2, 1)), lake, ITEM_DAYS, context=context, key="a")
    first = hashed(spark, lake)
    assert first == whole(spark, lake)
    delta_io.append(rows(spark, (3, 2)), lake, ITEM_DAYS, context=context, key="b")
    expected = whole(spark, lake)
    version = delta_io.version(lake, ITEM_DAYS)
    (old,) = delta_read.files_of(lake, ITEM_DAYS.name, 0)
    path = lake.table(ITEM_DAYS.name).path / old
    body = path.read_bytes()
    path.unlink()
    assert hashed(spark, lake) == expected != first
    path.write_bytes(body)
    write_json(place, {**read_json(place), "form": "of another release"})
    assert hashed(spark, lake) == expected, "sums of another form are made again"
    place.unlink()
    assert hashed(spark, lake) == expected and set(read_json(place)["files"]) == set(
        delta_read.files_of(lake, ITEM_DAYS.name, version)
    )
    delta_io.replace_where(rows(spark, (9, 1)), lake, ITEM_DAYS, "day = 1", context=context, key="c")
    assert hashed(spark, lake) == whole(spark, lake) and old not in read_json(place)["files"]
    body = read_json(place)
    # As an erasure leaves a file: with other rows and another size under the name that it had.
    changed = {name: [size + 1, 0, 0, 0] for name, (size, *_) in body["files"].items()}
    write_json(place, {**body, "files": changed})
    assert hashed(spark, lake) == whole(spark, lake)


def test_an_empty_table_has_the_hash_it_always_had(spark, lake):
    delta_io.append(rows(spark, (1, 1)).where("item = 0"), lake, ITEM_DAYS, context=make_context(lake), key="a")
    assert hashed(spark, lake) == whole(spark, lake)
