"""The exploring policy: what it learns does not depend on the order of nights, and doubt makes it look."""

import numpy as np

from nightrank.experiments.linear_bandit import LinearBandit

WIDTH = 4


def learnt(rounds):
    bandit = LinearBandit(WIDTH)
    for features, reward in rounds:
        bandit.learn(features, reward)
    return bandit


def nights(seed=0, count=3, rows=300):
    rng = np.random.default_rng(seed)
    weights = np.array([0.5, -0.2, 0.1, 0.0])
    features = [rng.normal(size=(rows, WIDTH)) for _ in range(count)]
    return [(x, x @ weights + rng.normal(0, 0.05, rows)) for x in features]


def test_the_order_of_nights_and_their_number_change_nothing():
    rounds = nights()
    forward, backward = learnt(rounds), learnt(rounds[::-1])
    at_once = learnt([(np.concatenate([x for x, _ in rounds]), np.concatenate([y for _, y in rounds]))])
    for other in (backward, at_once):
        assert np.allclose(forward.precision_DD, other.precision_DD) and np.allclose(forward.moment_D, other.moment_D)
    assert np.allclose(forward.expected(np.eye(WIDTH)[None]), [[0.5, -0.2, 0.1, 0.0]], atol=0.02)


def test_the_bound_is_the_ridge_regressions_own_standard_error():
    rounds, candidate = nights(), np.array([[[1.0, 2.0, 0.0, 1.0]]])
    bandit = learnt(rounds)
    features = np.concatenate([x for x, _ in rounds])
    covariance = np.linalg.inv(features.T @ features + np.eye(WIDTH))
    error = np.sqrt(candidate[0, 0] @ covariance @ candidate[0, 0])
    assert np.isclose(bandit.upper_bounds(candidate, 2.0) - bandit.expected(candidate), 2 * error)


def test_what_was_never_seen_is_looked_at_before_what_is_known_to_be_bad():
    features = np.tile([1.0, 0, 0, 0], (200, 1))
    bandit = learnt([(features, np.full(200, -0.5))])
    candidates = np.eye(WIDTH)[None, :2]
    assert bandit.upper_bounds(candidates, 1.0)[0].argmax() == 1


def test_thompsons_draws_have_the_posteriors_mean_and_variance():
    bandit, candidate = learnt(nights(rows=10)), np.array([[[1.0, 0.5, -1.0, 0.0]]])
    drawn = bandit.sampled(np.repeat(candidate, 60_000, axis=0), np.random.default_rng(2), std=0.7)[:, 0]
    error = float((bandit.upper_bounds(candidate, 1.0) - bandit.expected(candidate))[0, 0])
    assert abs(drawn.mean() - bandit.expected(candidate)[0, 0]) < 0.01
    assert abs(drawn.std() / (0.7 * error) - 1) < 0.02
