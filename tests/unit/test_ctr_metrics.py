"""AUC and log loss: by hand, by counting pairs, and as torchmetrics has them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_auroc

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.metrics.ctr import auc, log_loss


@pytest.mark.parametrize(
    ("scores", "labels", "wanted"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0.0),
        ([0.5, 0.5, 0.5], [0, 1, 1], 0.5),
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
        ([0.4, 0.4, 0.9], [0, 1, 1], 0.75),
        ([-3.0, 7.0], [0, 1], 1.0),
    ],
    ids=["in order", "upside down", "all equal", "one pair wrong", "one pair equal", "logits"],
)
def test_auc_by_hand(scores, labels, wanted):
    assert auc(np.array(scores), np.array(labels)) == wanted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_auc_is_the_share_of_pairs_in_order_and_what_torchmetrics_says(rows):
    scores, labels = np.array([s / 6 for s, _ in rows]), np.array([int(y) for _, y in rows])
    up, down = scores[labels == 1], scores[labels == 0]
    found = auc(scores, labels)
    if len(up) == 0 or len(down) == 0:
        assert math.isnan(found)
        return
    pairs = (up[:, None] > down).mean() + 0.5 * (up[:, None] == down).mean()
    assert found == pytest.approx(pairs, abs=1e-12)
    theirs = binary_auroc(torch.from_numpy(scores), torch.from_numpy(labels))
    assert found == pytest.approx(float(theirs), abs=1e-6)


def test_auc_of_many_rows_does_not_overflow():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200_000)
    scores = random.normal(size=200_000) + labels
    theirs = binary_auroc(torch.from_numpy(scores).sigmoid(), torch.from_numpy(labels))
    assert auc(scores, labels) == pytest.approx(float(theirs), abs=1e-5)
    assert auc(np.round(scores), labels) < auc(scores, labels)


def test_log_loss_by_hand_and_as_torch_has_it():
    p, y = np.array([0.9, 0.2, 0.5]), np.array([1, 0, 1])
    assert log_loss(p, y) == pytest.approx(-(math.log(0.9) + math.log(0.8) + math.log(0.5)) / 3)
    theirs = torch.nn.functional.binary_cross_entropy(torch.from_numpy(p), torch.from_numpy(y).double())
    assert log_loss(p, y) == pytest.approx(float(theirs))


def test_a_certain_and_wrong_probability_costs_much_but_not_everything():
    assert log_loss(np.array([0.0, 1.0]), np.array([1, 0])) == pytest.approx(15 * math.log(10), rel=0.01)
    assert math.isnan(log_loss(np.array([]), np.array([])))


@pytest.mark.parametrize("metric", [auc, log_loss])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [1], r"scores of shape \(2,\) came with labels of shape \(1,\)"),
        ([0.1, np.nan, np.nan], [0, 1, 1], "2 scores are NaN"),
        ([0.1, 0.2], [0, np.nan], "labels other than 0 and 1"),
        ([0.1, 0.2], [0, 2], "labels other than 0 and 1"),
    ],
)
def test_what_cannot_be_measured_is_named(metric, scores, labels, message):
    with pytest.raises(DataContractError, match=message):
        metric(np.array(scores), np.array(labels))


def test_a_logit_is_not_taken_for_a_probability():
    with pytest.raises(DataContractError, match="probabilities range from -2 to 3"):
        log_loss(np.array([-2.0, 3.0]), np.array([0, 1]))
