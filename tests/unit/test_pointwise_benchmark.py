"""The pointwise benchmark on a handful of histories: which rows it asks, what a row knows, what it writes."""

import json
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.accuracy.pointwise import main, parts_of, read


@pytest.fixture
def beauty(tmp_path):
    """60 users; the last item of user 1 stands in nobody's training rows."""
    rng = np.random.default_rng(3)
    lines = [f"{user} {' '.join(map(str, rng.permutation(40)[:6] + 1))}" for user in range(1, 61)]
    lines[0] = "1 1 2 3 4 5 99"
    (tmp_path / "Beauty.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "Beauty.txt"


def rows(batch):
    """(user, item, label, history) of each row."""
    ends = batch.offsets_B1.tolist()
    past = [tuple(batch.history_T[a:b].tolist()) for a, b in pairwise(ends)]
    codes = batch.codes_BF.tolist()
    return [(u, i, y, h) for (u, i, *_), y, h in zip(codes, batch.labels_BA[:, 0].tolist(), past, strict=True)]


def test_each_item_is_asked_for_in_its_split_with_what_came_before(beauty):
    parts = {part: rows(batch) for part, batch in parts_of(read(beauty, None), seed=1).items()}
    assert {part: len(found) for part, found in parts.items()} == {"train": 2 * 180, "valid": 2 * 60, "test": 2 * 60}
    positive = {part: [row for row in found if row[0] == 1 and row[2] == 1] for part, found in parts.items()}
    assert positive["train"] == [(1, 2, 1, (1,)), (1, 3, 1, (1, 2)), (1, 4, 1, (1, 2, 3))]
    assert positive["valid"] == [(1, 5, 1, (1, 2, 3, 4))]
    assert positive["test"] == [(1, 0, 1, (1, 2, 3, 4, 5))]  # 99 was never trained on


def test_the_other_item_is_one_that_the_user_never_had(beauty):
    had = {line.split()[0]: set(line.split()[1:]) for line in beauty.read_text().splitlines()}
    for batch in parts_of(read(beauty, None), seed=1).values():
        negatives = [(user, item) for user, item, label, _ in rows(batch) if label == 0]
        assert all(item for _, item in negatives)
        assert not [pair for pair in negatives if str(pair[1]) in had[str(pair[0])]]


def test_ratings_ask_whether_it_was_liked_of_rated_items_alone(tmp_path):
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n"
        "1,10,5.0,3\n1,20,2.0,1\n1,30,4.0,2\n1,40,3.5,4\n2,50,1.0,1\n2,10,4.5,2\n2,60,2.0,3\n2,70,4.0,4\n"
    )
    parts = parts_of(read(tmp_path / "ratings.csv", None), seed=1)
    liked = {part: batch.labels_BA[:, 1].tolist() for part, batch in parts.items()}
    assert liked["train"][:2] == [1.0, 1.0] and np.isnan(liked["train"][2:]).all()  # 30 of user 1 by time, 10 of user 2
    assert liked["valid"][:2] == [1.0, 0.0] and liked["test"][:2] == [0.0, 1.0]


@pytest.mark.parametrize("model", ["lr", "din", "mmoe"])
def test_a_model_leaves_its_figures(beauty, model):
    out = beauty.parent / "out.json"
    small = ["--set", "epochs=1", "--set", "batch_rows=64", "--out", str(out), "--threads", "1"]
    result = main(["--data", str(beauty), "--models", model, *small])
    assert json.loads(out.read_text())["runs"] == json.loads(json.dumps(result["runs"]))
    run = result["runs"][0]
    assert run["model"] == model and 0 < run["test"]["auc"] < 1 and run["params"] > 0
    assert str(beauty.parent) not in out.read_text()
