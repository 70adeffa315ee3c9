"""The simulated market as rows: who learns what when, and that nothing of a day is known before it."""

import json

import numpy as np
import pytest
import torch

from benchmarks.forgetting.periods import labels_of
from benchmarks.simulated_nights import __main__ as nights
from benchmarks.simulated_nights import starts
from benchmarks.simulated_nights.market import Content, Market, simulated
from benchmarks.simulated_nights.rows import full_rows, night_rows, questions, replayed_rows
from nightrank.pipeline.simulate.config import market

DAYS, LONGEST = 5, 6


@pytest.fixture(scope="module")
def shop() -> Market:
    return simulated(market("tiny", {"days": DAYS, "users": 60, "daily_active": 40}))


def labels(shop: Market, day: int) -> int:
    return int((shop.counts(day) - (shop.counts(day) > 0)).sum())


def test_a_full_training_has_every_label_once_and_a_night_those_of_its_day(shop):
    for day in range(1, DAYS):
        rows = full_rows(shop, day, LONGEST)
        assert labels_of(rows) == labels(shop, day) and int(rows.lengths.max()) <= LONGEST + 1
        long = 10_000
        assert labels_of(night_rows(shop, day, long)) == labels(shop, day) - labels(shop, day - 1)


@pytest.mark.parametrize("choice", ["uniform", "reservoir", "exemplars"])
def test_what_is_replayed_is_of_users_who_did_not_come_by(shop, choice):
    replay = replayed_rows(shop, 4, choice, 50, LONGEST, 1)
    came = np.flatnonzero(shop.counts(4) > shop.counts(3))
    assert 20 < labels_of(replay) < 90
    assert not np.isin(replay.heads["user"][:-1], came).any()


def test_a_day_is_asked_about_with_what_was_known_before_it(shop):
    day = 3
    queries = questions(shop, day, LONGEST, last_item=shop.items(day - 1))
    before = shop.counts(day - 1)
    for place, user in enumerate(queries.users.tolist()):
        first = shop.offsets_U1[user]
        history = shop.item_E[first : first + before[user]][-LONGEST:]
        start, end = queries.history.offsets_B1[place : place + 2].tolist()
        assert queries.history.items_T[start:end].tolist() == history.tolist()
        mine = slice(first + before[user], first + shop.counts(day)[user])
        known = [item for item in shop.item_E[mine].tolist() if item <= shop.items(day - 1)]
        assert queries.targets[queries.offsets[place] : queries.offsets[place + 1]].tolist() == known


def test_a_shock_changes_tastes_from_its_day_on():
    config = market("tiny", {"days": 3, "users": 60})
    calm, shaken = simulated(config), simulated(config, shock=1)
    same = [np.array_equal(one.style_US, other.style_US) for one, other in zip(calm.tastes, shaken.tastes, strict=True)]
    assert same == [True, False, False]


@pytest.fixture
def options(shop, tmp_path, monkeypatch):
    """Titles are random vectors: the text encoder takes longer than all the rest."""
    known = Content(
        torch.cat([torch.zeros(1, 8), torch.nn.functional.normalize(torch.randn(shop.items(DAYS - 1), 8), dim=1)]),
        torch.cat([torch.zeros(1, dtype=torch.int64), torch.from_numpy(shop.goods.truth.category_I.astype(np.int64)) + 1]),
    )
    monkeypatch.setattr(nights, "prepared", lambda options: (shop, known))
    monkeypatch.setattr(starts, "prepared", lambda options: (shop, known))
    settings = ["trainer.fit.epochs=1", "trainer.model.width=8", "trainer.night.epochs=1"]
    return ["--history", "2", "--nights", "2", "--events", "30", "--set", *settings, "--out", str(tmp_path / "out.json")]


def test_every_way_is_asked_the_same_and_starts_from_the_same_model(options, tmp_path):
    result = nights.main(options)
    assert json.loads((tmp_path / "out.json").read_text())["ways"].keys() == result["ways"].keys() == set(nights.WAYS)
    first = {name: way["nights"][0]["ndcg@10"] for name, way in result["ways"].items()}
    assert len(set(first.values())) == 1
    assert {way["ndcg@10"]["n"] for way in result["ways"].values()} == {result["nightly_less_full"]["n"]}
    assert result["ways"]["no update"]["train_processor_seconds"] < 0.1
    assert all(night["truth"] > night["ndcg@10"] for night in result["ways"]["nightly"]["nights"])


def test_starts_of_new_items_differ_and_are_asked_in_pairs(options):
    result = starts.main(options)
    assert set(result["titles_and_categories"]["first_day"]["ndcg@10"]) == {"text", "category", "mean", "zero"}
    assert set(result["ids_alone"]["next_day"]["in_pairs"]) == {"mean less zero"}
