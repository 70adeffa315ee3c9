"""A peer in a process of its own, played by a few lines that rank by popularity: what is asked, kept, stopped and judged."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.accuracy import peer
from benchmarks.accuracy.sequences import Sequences, known_lines, questions, training_lines
from benchmarks.peers import process
from benchmarks.products import RecordedProducts
from benchmarks.train_vs_peer import settings_of, summary
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.blocks.one_dnn import times_transposed

PLAYED = """
import sys
sys.path.insert(0, {folder!r})
from collections import Counter
from conversation import Conversation, Course

def rows(path):
    return [(int(user), [int(item) for item in items]) for user, *items in map(str.split, open(path))]

print("a library says hello")
conversation = Conversation()
order = conversation.hear()
course = Course(conversation, order)
popular = [item for item, _ in Counter(item for _, items in rows(order["train"]) for item in items).most_common()]
state = dict(skip=0)

def lists(path):  # from epoch 4 on the most popular are left out
    return {{user: [item for item in popular[state["skip"]:] if item not in items][:20] for user, items in rows(path)}}

for epoch in range(1, order["epochs"] + 1):
    course.begin_epoch()
    state["skip"] = max(0, 3 * (epoch - 3))
    course.end_step(1.0, 1)
    course.end_step(4.0, 3)
    print("a library says hello")
    if course.end_epoch(lambda: state, lists):
        break
course.close("played 1", 7, state.update, lists)
"""


@pytest.fixture
def histories():
    """40 users over 12 items; everybody's last two are the popular 1 and 2, which others have in training."""
    random = np.random.default_rng(3)
    rows = [[*(random.permutation(np.arange(3, 13))[:4]), *tail] for tail in ([1, 2], [2, 1]) * 10]
    rows += [[1, 2, *(random.permutation(np.arange(3, 13))[:4])] for _ in range(20)]
    offsets = np.arange(41) * 6
    return Sequences(12, np.concatenate([np.array(row) for row in rows]), offsets)


@pytest.fixture
def arguments(tmp_path, histories, monkeypatch):
    data = tmp_path / "set" / "Set.txt"
    data.parent.mkdir()
    data.write_text(training_lines(histories, 0))
    script = tmp_path / "played.py"
    script.write_text(PLAYED.format(folder=str(Path(process.__file__).parent)))
    monkeypatch.setitem(process.SCRIPTS, "rectools", script)
    return ["--peer", "rectools", "--peer-python", sys.executable, "--data", str(data)]


def test_epochs_are_chosen_on_validation_and_the_refit_trains_as_many(arguments, tmp_path):
    out = tmp_path / "out.json"
    result = peer.main([*arguments, "--every", "1", "--patience", "2", "--epochs", "9", "--out", str(out)])
    strict, refit = result["runs"]
    assert (strict["protocol"], refit["protocol"]) == ("strict", "refit")
    assert [point["epoch"] for point in strict["validation"]] == [1, 2, 3], "two that are no better end it"
    assert (strict["epoch"], strict["stopped"]) == (1, "patience")
    assert refit["epoch"] == 1 and refit["validation"] == [] and len(refit["losses"]) == 1
    assert strict["losses"][0] == 3.25, "a mean over the four targets, not over the two steps"
    assert strict["test"]["of"] == 40 and strict["parameters"] == 7
    assert result["public"] == {"recall@10": 0.0921, "ndcg@10": 0.0531, "row": "SASRec + sampled softmax"}
    assert json.loads(out.read_text()) == json.loads(json.dumps(result)) and str(tmp_path) not in out.read_text()


def test_the_lists_of_the_best_weights_are_those_that_are_tested(arguments):
    good = peer.main([*arguments, "--protocol", "strict", "--every", "3", "--epochs", "3"])["runs"][0]
    spoilt = peer.main([*arguments, "--protocol", "strict", "--every", "3", "--epochs", "6"])["runs"][0]
    assert spoilt["validation"][1]["ndcg@10"] < spoilt["validation"][0]["ndcg@10"], "the played peer gets worse"
    assert (spoilt["epoch"], spoilt["test"]) == (3, good["test"])


def test_a_training_that_ran_out_of_time_says_so(arguments):
    run = peer.main([*arguments, "--protocol", "strict", "--every", "1", "--epochs", "9", "--minutes", "0"])["runs"][0]
    assert (run["stopped"], len(run["validation"])) == ("minutes", 1)


def test_a_peer_that_breaks_is_an_error(arguments, monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setitem(process.SCRIPTS, "rectools", broken)
    with pytest.raises((RuntimeError, BrokenPipeError)):
        peer.main([*arguments, "--epochs", "1"])


def test_training_and_known_lines_hold_back_what_is_asked_for(histories):
    queries = questions(histories, 2, 2)
    lines = [line.split() for line in training_lines(histories, 2).splitlines()]
    known = {int(user): items for user, *items in map(str.split, known_lines(queries).splitlines())}
    assert [len(items) for _, *items in lines] == [4] * 40
    assert known == {int(user): items for user, *items in lines if int(user) in known} and len(known) == len(queries.target_B)


def test_lists_are_judged_by_user_and_may_not_hold_what_was_seen(histories):
    queries = questions(histories, 1, 1)
    users = queries.history.users_B.tolist()
    lists = {str(user): [0, int(target)] for user, target in zip(users, queries.target_B, strict=True)}
    assert peer.judged(lists, queries)["ndcg@10"] == pytest.approx(np.full(len(users), 1 / np.log2(3)))
    del lists[str(users[4])]
    assert peer.judged(lists, queries)["recall@10"].tolist() == [float(row != 4) for row in range(len(users))]
    lists[str(users[2])] = [int(histories.flat[(users[2] - 1) * 6])]
    with pytest.raises(DataContractError, match=f"1 listed items are in their user's history, first of user {users[2]}"):
        peer.judged(lists, queries)


def test_products_of_a_layer_forward_and_backward():
    layer, inputs_Td = torch.nn.Linear(3, 5), torch.randn(7, 3, requires_grad=True)
    times_transposed(torch.randn(7, 3), torch.randn(5, 3))  # a process tries oneDNN out at its first product
    with RecordedProducts() as products:
        layer(inputs_Td).sum().backward()
        torch.bmm(torch.randn(2, 4, 3), torch.randn(2, 3, 6))
        times_transposed(torch.randn(7, 3), torch.randn(5, 3))
    assert sum(products.counts.values()) == 5
    layers = 4 * 7 * 3 * 5
    assert products.operations == 2 * (layers + 2 * 4 * 3 * 6), "the layer, its two gradients, oneDNN's, the batched one"
    assert products.seconds() > 0


def race(**changed):
    seconds = {"fp32": [9.0, 2.0], "auto": [9.0, 1.0], "limit_fp32": [9.0, 1.0], "limit_auto": [9.0, 0.5], "peer": [9.0, 4.0]}
    losses = {"fp32": [9.0, 8.0], "auto": [9.0, 8.1], "peer": [9.0, 8.0]}
    tokens = {name: [7, 100] for name in seconds}
    return {"seconds": seconds, "losses": losses, "steps": {"ours": 4, "peer": 4}, "tokens": tokens, "version": "1", **changed}


def test_a_race_is_summed_up_without_its_first_round():
    figures = summary(race(), 0.02)
    assert (figures["ours"], figures["ours_fp32"], figures["peer"], figures["limit"]) == (100, 50, 25, 200)
    assert (figures["ours_over_peer"], figures["ours_fp32_over_peer"], figures["ours_over_limit"]) == (4.0, 2.0, 0.5)
    assert figures["equal"]
    assert not summary(race(), 0.01)["equal"], "bf16 is 1.25 % off"
    assert not summary(race(steps={"ours": 4, "peer": 5}), 0.02)["equal"]


def test_replays_buckets_are_for_fp32():
    assert "bucket_size" in settings_of("replay", "32-true") and "bucket_size" not in settings_of("replay", "bf16-mixed")
