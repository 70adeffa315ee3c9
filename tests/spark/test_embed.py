"""Item text through the packaged encoder: right vectors, and each text encoded once."""

from datetime import date

import numpy as np
import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from nightrank.spark_jobs import build_features, embed_items, ingest_events
from nightrank.spark_jobs.executor.encode import EncodeOptions, encode
from tests.spark.conftest import DAY, at, land, make_context
from tests.text_models import tiny_bert, with_tokenizer

pytestmark = pytest.mark.spark
AFTER = date(2024, 3, 11)


def embed(lake, day=DAY, **config):
    context = make_context(lake, day, **config)
    ingest_events.run(context)
    build_features.run(context)
    return embed_items.run(context)


def vectors(spark, lake):
    return {row["item"]: np.array(row["vector"]) for row in delta_io.read(spark, lake, tables.ITEM_EMBEDDINGS).collect()}


def test_text_is_encoded_once_and_only_what_changed_again(spark, lake):
    described = [
        {"item_id": "a", "title": "Chess board", "text": "made of  wood", "categories": ["Games"]},
        {"item_id": "b", "title": "Wooden chess set"},
        {"item_id": "c", "title": "Motor oil 5W-40 " * 40},
        {"item_id": "d", "title": "  "},
    ]
    land(lake, "items", DAY, described)
    land(lake, "events", DAY, [{"user_id": "u", "item_id": "e", "action": "view", "event_time": at("2024-03-10 12:00")}])
    first = embed(lake)
    assert first.counts == {"texts_encoded": 3, "texts_cached": 0, "texts_cut": 1}
    found = vectors(spark, lake)
    assert sorted(found) == [1, 2, 3]
    assert all(np.linalg.norm(v) == pytest.approx(1, abs=1e-5) for v in found.values())
    assert found[1] @ found[2] > found[1] @ found[3] + 0.2
    model = text_model(TextSettings())
    alone, cut = encode(["Chess board made of wood Games"], EncodeOptions(str(model.folder), model.revision, 128, 512, 1))
    assert cut == [0]
    assert alone[0] @ found[1] == pytest.approx(1, abs=1e-3)

    again = embed_items.run(make_context(lake, run_id="again"))
    assert again.counts == {"texts_encoded": 0, "texts_cached": 3, "texts_cut": 1}
    assert again.tables[0]["from"] == again.tables[0]["to"]

    land(lake, "items", AFTER, [{"item_id": "b", "title": "Marble chess set"}])
    land(lake, "events", AFTER, [{"user_id": "u", "item_id": "a", "action": "view", "event_time": at("2024-03-11 12:00")}])
    third = embed(lake, AFTER)
    assert third.counts == {"texts_encoded": 1, "texts_cached": 2, "texts_cut": 1}
    after = vectors(spark, lake)
    np.testing.assert_array_equal(after[1], found[1])
    assert not np.array_equal(after[2], found[2])

    none = embed_items.run(make_context(lake, AFTER, run_id="none", text={"encoder": "none"}))
    assert none.counts["texts_encoded"] == 0
    assert delta_io.read(spark, lake, tables.ITEM_EMBEDDINGS).count() == 0


def cached(spark, lake):
    """(text, revision) -> vector of all that was ever encoded."""
    rows = delta_io.read(spark, lake, tables.TEXT_CACHE).collect()
    found = {(row["content_sha256"], row["revision"]): tuple(row["vector"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_another_encoder_encodes_every_text_again_beside_the_old_rows_and_the_first_finds_its_own(spark, lake, tmp_path):
    texts = {"a": "w4 w5", "b": "w6", "c": "w7 w8 w9"}
    land(lake, "items", DAY, [{"item_id": item, "title": title} for item, title in texts.items()])
    land(lake, "events", DAY, [{"user_id": "u", "item_id": "a", "action": "view", "event_time": at("2024-03-10 12:00")}])
    one, two = ({"encoder": str(with_tokenizer(tiny_bert(tmp_path / str(seed), seed)))} for seed in (1, 2))
    revisions = [text_model(TextSettings(**text)).revision for text in (one, two)]
    assert embed(lake, text=one).counts == {"texts_encoded": 3, "texts_cached": 0, "texts_cut": 0}
    of_one, rows_of_one = vectors(spark, lake), cached(spark, lake)

    other = embed_items.run(make_context(lake, run_id="two", text=two))
    assert other.counts == {"texts_encoded": 3, "texts_cached": 0, "texts_cut": 0}
    rows, of_two = cached(spark, lake), vectors(spark, lake)
    assert {key: rows[key] for key in rows_of_one} == rows_of_one
    assert {revision for _, revision in rows_of_one} == {revisions[0]}
    assert {(text, revisions[1]) for text, _ in rows_of_one} == set(rows) - set(rows_of_one)
    assert sorted(of_two) == sorted(of_one) == [1, 2, 3] and all(of_one[i] @ of_two[i] < 0.9 for i in of_one)
    placed = delta_io.read(spark, lake, tables.ITEM_EMBEDDINGS)
    assert {row["revision"] for row in placed.collect()} == {revisions[1]}

    back = embed_items.run(make_context(lake, run_id="one", text=one))
    assert back.counts == {"texts_encoded": 0, "texts_cached": 3, "texts_cut": 0}
    assert cached(spark, lake) == rows
    np.testing.assert_equal(vectors(spark, lake), of_one)


def test_an_encoder_that_is_not_there_is_named(lake, tmp_path):
    with pytest.raises(ConfigError, match="there is no such folder") as caught:
        embed_items.run(make_context(lake, text={"encoder": str(tmp_path / "absent")}))
    assert str(tmp_path / "absent") in caught.value.message
