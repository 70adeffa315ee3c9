"""The ablation of nights on a handful of sessions: who is asked what, what is replayed, and that every way runs."""

import json

import numpy as np
import pytest

from benchmarks.forgetting import __main__ as forgetting
from benchmarks.forgetting.nights import replayed_rows
from benchmarks.forgetting.periods import Period, beside, joined, label_rows, labels_of, questions, users_of, whole_rows
from nightrank.trainer.data.collate import batch_of
from tests.training_lake import synthetic_sequences


def period(*sessions, first=1):
    names = np.repeat(np.arange(first, first + len(sessions)), [len(session) for session in sessions])
    return Period.of(names, np.array([item for session in sessions for item in session], np.int64))


def lists(batch):
    return [part.tolist() for part in np.split(batch.items_T.numpy(), batch.offsets_B1.numpy()[1:-1])]


def test_unseen_items_go_then_sessions_of_one_item_and_every_prefix_asks():
    left = period([1, 9, 2, 3], [4, 9], [9, 8], [5, 6]).known_to(6)
    assert left.sessions.tolist() == [1, 4] and left.items.tolist() == [1, 2, 3, 5, 6]
    history, targets = questions(left, longest=50)
    assert lists(history) == [[1], [1, 2], [5]]
    assert targets.tolist() == [2, 3, 6]
    assert lists(questions(left, longest=1)[0]) == [[1], [2], [5]]


def test_a_session_id_that_comes_again_is_another_session(tmp_path):
    (tmp_path / "period_0.txt").write_text("7 1\n5 3\n7 2\n")
    (tmp_path / "period_1.txt").write_text("7 4\n7 5\n")
    first, second = forgetting.read_periods(tmp_path, 1)
    assert (first.sessions.tolist(), first.items.tolist()) == ([1, 2], [3, 1, 2])
    assert second.sessions.tolist() == [3]
    assert joined([first, second]).items.tolist() == [3, 1, 2, 4, 5]


def test_rows_of_sessions_and_of_labels():
    of_day = period([1, 2, 3], [4], [5, 6])
    whole = whole_rows(of_day, 50)
    assert lists(batch_of(whole)) == [[1, 2, 3], [5, 6]] and labels_of(whole) == 3
    one = label_rows(period([7, 8, 9], first=8), np.array([True, False, True]), 50)
    assert lists(batch_of(one)) == [[7, 8, 9]] and labels_of(one) == 1
    both = beside(whole, one)
    assert lists(batch_of(both)) == [[1, 2, 3], [5, 6], [7, 8, 9]]
    assert batch_of(both).loss_from_B.tolist() == [1, 1, 2]
    assert users_of(both).tolist() == [1, 3, 8]


@pytest.mark.parametrize("choice", ["uniform", "reservoir", "exemplars"])
def test_about_as_many_labels_are_replayed_as_asked_for(choice):
    past = period(*synthetic_sequences(400, 30))
    labels = labels_of(replayed_rows(choice, past, 1000, 50, seed=1))
    assert 850 < labels < 1150
    assert labels_of(replayed_rows(choice, past, 10**6, 50, seed=1)) == past.is_label.sum()


def test_every_way_runs_and_is_told_by_period(tmp_path):
    for number in range(3):
        rows = synthetic_sequences(30, 20 + 2 * number, seed=number)
        lines = [f"{session} {item}\n" for session, row in enumerate(rows) for item in row]
        (tmp_path / f"period_{number}.txt").write_text("".join(lines))
    settings = ["trainer.model.width=8", "trainer.model.encoder={name: transformer, blocks: 1, heads: 1, dropout: 0.2}"]
    settings += ["trainer.precision=fp32", "trainer.fit.epochs=1", "trainer.night.epochs=2"]
    settings += ["trainer.night.learning_rate=0.05", "trainer.batch_rows=16"]
    out = tmp_path / "result.json"
    arguments = [
        "--data",
        str(tmp_path),
        "--periods",
        "2",
        "--events",
        "60",
        "--anchor",
        "10",
        "--weight",
        "5",
        "--threads",
        "1",
        "--set",
        *settings,
    ]
    result = forgetting.main([*arguments, "--out", str(out)])
    assert json.loads(out.read_text()) == result
    assert set(result["ways"]) == set(forgetting.NAMES)
    first = [way["figures"][0] for way in result["ways"].values()]
    assert all(row == first[0] for row in first), "every way is asked about period 1 with the same model"
    second = {name: way["figures"][1]["mrr@20"] for name, way in result["ways"].items()}
    assert len(set(second.values())) > 5
    assert all(
        way["figures"][1]["n"] == first_way["figures"][1]["n"]
        for first_way in [result["ways"]["finetune"]]
        for way in result["ways"].values()
    )
