"""Estimates equal the Open Bandit Pipeline's on its own sample, and intervals hold the truth as often as they say."""

from pathlib import Path

import numpy as np
import obp
import pandas as pd
import pytest
from obp.ope import DirectMethod, DoublyRobust, InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting

from nightrank.experiments import estimators
from nightrank.experiments.intervals import effective_rounds, interval, moments, ratio
from nightrank.experiments.outcome import cross_fitted

SAMPLE = Path(obp.__file__).parent / "dataset" / "obd" / "random" / "men" / "men.csv"


@pytest.fixture(scope="module")
def log():
    """Randomly shown items of the sample's second place: (action, reward, propensity, a target policy, expected rewards)."""
    rows = pd.read_csv(SAMPLE)
    rows = rows[rows["position"] == rows["position"].unique()[1]]
    action, reward = rows["item_id"].to_numpy(), rows["click"].to_numpy(dtype=float)
    rng = np.random.default_rng(3)
    actions = int(rows["item_id"].max()) + 1
    target = rng.dirichlet(np.full(actions, 0.5), size=len(rows))
    return action, reward, rows["propensity_score"].to_numpy(), target, rng.random((len(rows), actions)) * 0.02


def test_estimates_equal_those_of_the_open_bandit_pipeline(log):
    action, reward, propensity, target, expected = log
    assert len(action) > 3_000 and reward.sum() > 5
    weight, users = estimators.weights(target, action, propensity), np.arange(len(action)) // 3
    given = {
        "reward": reward,
        "action": action,
        "position": np.zeros(len(action), dtype=int),
        "pscore": propensity,
        "action_dist": target[:, :, None],
        "estimated_rewards_by_reg_model": expected[:, :, None],
    }
    pairs = [
        (interval(estimators.ips(weight, reward), users), InverseProbabilityWeighting()),
        (ratio(moments(estimators.ips(weight, reward), weight, users)), SelfNormalizedInverseProbabilityWeighting()),
        (interval(estimators.direct(expected, target), users), DirectMethod()),
        (interval(estimators.doubly_robust(weight, reward, action, expected, target), users), DoublyRobust()),
    ]
    for ours, theirs in pairs:
        assert abs(ours.value - theirs.estimate_policy_value(**given)) < 1e-9, type(theirs).__name__


def test_a_round_without_a_propensity_is_named():
    with pytest.raises(ValueError, match=r"round 1 was logged with propensity 0\.0"):
        estimators.weights(np.full((2, 2), 0.5), np.array([0, 1]), np.array([0.5, 0.0]))
    with pytest.raises(ValueError, match="says nothing"):
        ratio(moments(np.zeros(3), np.zeros(3), np.arange(3)))
    with pytest.raises(ValueError, match="1 users are too few"):
        interval(np.ones(3), np.zeros(3))


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Users with several rounds each, whose tastes differ: an interval over rounds would be too short."""
    rng, held, too_short = np.random.default_rng(5), 0, 0
    chance = np.array([0.05, 0.1, 0.3])
    target = np.array([0.2, 0.2, 0.6])
    for _ in range(300):
        user = np.repeat(np.arange(150), 8)
        taste = rng.normal(0, 0.6, 150)[user]
        action = rng.integers(3, size=len(user))
        reward = rng.normal(chance[action] + taste, 0.1)
        weight = estimators.weights(np.broadcast_to(target, (len(user), 3)), action, np.full(len(user), 1 / 3))
        values, truth = estimators.ips(weight, reward), float(target @ chance)
        found = interval(values, user)
        held += found.low <= truth <= found.high
        alone = interval(values, np.arange(len(user)))
        too_short += not alone.low <= truth <= alone.high
    assert 0.91 <= held / 300 <= 0.99
    assert too_short / 300 > 0.2
    assert (found.rounds, found.users) == (1200, 150)


def test_doubly_robust_needs_one_of_its_two_to_be_right():
    rng = np.random.default_rng(7)
    rounds, chance, target = 60_000, np.array([0.1, 0.5]), np.array([0.9, 0.1])
    logging = np.array([0.3, 0.7])
    action = (rng.random(rounds) < logging[1]).astype(int)
    reward = (rng.random(rounds) < chance[action]).astype(float)
    target_RA, truth = np.broadcast_to(target, (rounds, 2)), float(target @ chance)
    right, wrong = np.broadcast_to(chance, (rounds, 2)), np.full((rounds, 2), 0.9)
    weight = estimators.weights(target_RA, action, logging[action])
    wrong_weight = estimators.weights(target_RA, action, np.full(rounds, 0.5))
    good_model = estimators.doubly_robust(wrong_weight, reward, action, right, target_RA).mean()
    good_weight = estimators.doubly_robust(weight, reward, action, wrong, target_RA).mean()
    neither = estimators.doubly_robust(wrong_weight, reward, action, wrong, target_RA).mean()
    assert abs(good_model - truth) < 0.01 and abs(good_weight - truth) < 0.01 and abs(neither - truth) > 0.05


def test_expected_rewards_come_from_other_users():
    """One user's rewards do not change what is expected of him."""
    rng = np.random.default_rng(1)
    features, action = rng.normal(size=(400, 3, 4)), rng.integers(3, size=400)
    reward, user = rng.random(400), np.repeat(np.arange(100), 4)
    before = cross_fitted(features, action, reward, user)
    changed = np.where(user == 17, reward + 100, reward)
    after = cross_fitted(features, action, changed, user)
    assert (before[user == 17] == after[user == 17]).all() and (before != after).any()


def test_equal_weights_are_worth_all_their_rounds():
    weight = np.full(50, 0.3)
    assert effective_rounds(weight.sum(), (weight**2).sum()) == pytest.approx(50)
    assert effective_rounds(1.0, 1.0) == 1 and effective_rounds(0.0, 0.0) == 0
