"""Item text through the packaged encoder: right vectors, and each text encoded once."""

from datetime import date

import numpy as np
import pytest

from feature_store import delta_io
from feature_store.contracts import tables
from feature_store.contracts.errors import ConfigError
from feature_store.contracts.settings import TextSettings
from feature_store.text_model import text_model
from spark_jobs import build_features, embed_items, ingest_events
from spark_jobs.executor.encode import EncodeOptions, encode
from tests.spark.conftest import DAY, at, land, make_context

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


def test_an_encoder_that_is_not_there_is_named(lake, tmp_path):
    with pytest.raises(ConfigError, match="there is no such folder") as caught:
        embed_items.run(make_context(lake, text={"encoder": str(tmp_path / "absent")}))
    assert str(tmp_path / "absent") in caught.value.message
