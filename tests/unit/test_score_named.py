"""Every named model as Spark's executors score with it: lists and scores are those of the ranker in memory, user by user."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.config import overlay, validate
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.spark_jobs.executor.score import NO_HISTORY, UNKNOWN, list_scorer
from nightrank.spark_jobs.executor.users import ScoreRules
from nightrank.trainer.config.pretrained import user_folder, with_architectures
from nightrank.trainer.config.training import TrainerConfig
from tests.named_models import NAMES, small
from tests.text_models import text_inputs, tiny_bert
from tests.training_jobs import ITEMS, SMALL

USERS, K, NEWEST = 20, 7, 12
IMPRESSION, VIEW, CLICK = (ACTION_CODES[name] for name in ("impression", "view", "click"))
EVENTS = {
    1: [(3, VIEW), (3, CLICK), (7, VIEW), (9, CLICK)],
    4: [(ITEMS + 1, VIEW)],
    2: [(item, VIEW) for item in range(20, 36)],
    USERS + 5: [(41, CLICK), (ITEMS + 2, VIEW), (8, IMPRESSION), (5, VIEW)],
    5: [(6, IMPRESSION)],
}
HISTORIES = {
    1: [(3, CLICK, 0), (7, VIEW, 2), (9, CLICK, 3)],
    2: [(item, VIEW, item - 20) for item in range(24, 36)],
    USERS + 5: [(41, CLICK, 0), (5, VIEW, 3)],
}
"""(item, action, place among the user's events) as a model of ITEMS items is to see them."""


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def ranker_of(name, bert):
    """Not fresh: every weight is moved, so that none can be lost on the way."""
    text = TextSettings(encoder=str(bert))
    model = with_architectures(validate(TrainerConfig, overlay(SMALL, small(name))), text).model
    ranker = compose(model, text_inputs(bert, ITEMS, USERS), 1, text_encoder=bert, user_encoder=user_folder(model, text))
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.2)
    return ranker.eval()


def time_of(place):
    return (1 + place * place) * 100_000_000


def users():
    """A row of each user, as score_users feeds them."""
    columns = {
        "user": pa.array(list(EVENTS), pa.int32()),
        "user_id": pa.array([f"u{user}" for user in EVENTS]),
        "segment": pa.array([""] * len(EVENTS)),
        "items": pa.array([[item for item, _ in row] for row in EVENTS.values()], pa.list_(pa.int32())),
        "actions": pa.array([[action for _, action in row] for row in EVENTS.values()], pa.list_(pa.int8())),
        "times": pa.array([[time_of(place) for place in range(len(row))] for row in EVENTS.values()], pa.list_(pa.int64())),
    }
    return pa.RecordBatch.from_pydict(columns)


def scored(folder, name):
    """{user: [(raw item id, rank, score)]} and {user: reason of the fallback}, three users at a time."""
    pq.write_table(pa.table({"segment": ["", ""], "item": [8, 2], "count": [5, 4]}), folder / "popular")
    rules = ScoreRules(
        bundle=str(folder / name), manifest=name, popular=str(folder / "popular"), items=ITEMS, k=K, batch_users=3,
        max_length=NEWEST, history_actions=(VIEW, CLICK), collapse_repeats=True, seen_actions=(VIEW, CLICK), seen_from=None,
    )  # fmt: skip
    rows = [row for batch in list_scorer(rules)(iter([users()])) for row in batch.to_pylist()]
    lists = {user: [(r["item_id"], r["rank"], r["score"]) for r in rows if r["user_id"] == f"u{user}"] for user in EVENTS}
    return lists, {row["user"]: row["fallback"] for row in rows}


def in_memory(ranker, user):
    """The user alone against every item, sorted whole."""
    items, actions, places = zip(*HISTORIES[user], strict=True)
    history = Batch.from_lists([items], [actions], [[time_of(place) for place in places]], users=[user])
    with torch.no_grad():
        vectors = ranker.user_vectors(history.newest(ranker.config.encoder.max_length))
        scores = ranker.head.every(vectors, ranker.all_item_vectors())[0].tolist()
    unseen = set(range(1, ITEMS + 1)) - {item for item, action in EVENTS[user] if action != IMPRESSION}
    best = sorted(unseen, key=lambda item: (-scores[item], item))[:K]
    return [(f"i{item}", rank, pytest.approx(scores[item], rel=1e-4, abs=1e-5)) for rank, item in enumerate(best, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_executors_list_what_the_ranker_lists(tmp_path, bert, name):
    ranker = ranker_of(name, bert)
    raw_ids = [f"i{item}" for item in range(1, ITEMS + 1)]
    lists, reasons = scored(tmp_path, store_bundle(tmp_path, ranker, raw_ids, snapshot_id="s", lineage="l"))
    assert {user: lists[user] for user in HISTORIES} == {user: in_memory(ranker, user) for user in HISTORIES}
    assert len({tuple(score for *_, score in lists[user]) for user in HISTORIES}) == len(HISTORIES)
    assert reasons == {**dict.fromkeys(HISTORIES), 4: UNKNOWN, 5: NO_HISTORY}
    assert [item for item, *_ in lists[4]] == [item for item, *_ in lists[5]] == ["i8", "i2", "i1", "i3", "i4", "i5", "i6"]
