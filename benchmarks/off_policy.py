"""Off-policy estimates and exploring policies on the simulated market, whose truth says what they should have found.

`python -m benchmarks.off_policy [--repeats 300] [--nights 30] [--seed 0] [--out FOLDER]`.

`off_policy_coverage`: one place of each list is drawn among 20 candidates by a model's scores (softmax and a uniform part), and
users click by their true taste. From the log of a day, the value of three other policies is estimated by inverse propensity
scores, their self-normalised form and doubly robust. `coverage` is the share of repeats whose 95 % interval held the true
value, which is computed without drawing. `exploration_regret`: what policies that learn from night to night miss of the best
candidate, over the nights, against the one that never learns. On the first night all show the model's best.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from nightrank.experiments import estimators
from nightrank.experiments.intervals import Estimate, interval, moments, ratio
from nightrank.experiments.linear_bandit import LinearBandit
from nightrank.experiments.outcome import cross_fitted
from nightrank.experiments.slot_policy import draw, probabilities
from nightrank.pipeline.simulate import catalogue, population
from nightrank.pipeline.simulate.config import MarketConfig, market
from nightrank.pipeline.simulate.reactions import chance_of_click
from nightrank.pipeline.simulate.truth import TruthItems, TruthUsers, true_scores

Floats = npt.NDArray[np.floating[Any]]
CANDIDATES: Final = 20
PLACE: Final = 3
NOISE: Final = 1.5
"""Standard deviation of the model's error in the log of an item's p."""
TEMPERATURE, UNIFORM = 1.0, 0.2
POLICIES: Final = {"greedy": (0.0, 0.0), "sharper": (0.5, 0.05), "uniform": (1.0, 1.0)}
ESTIMATORS: Final = ("ips", "snips", "doubly_robust")


class Day(NamedTuple):
    """Of a day's U active users: candidates' chances of a click [U, C], the model's scores, features [U, C, D]."""

    user_U: npt.NDArray[Any]
    chance_UC: Floats
    scores_UC: Floats
    features_UCD: Floats


def days_of(config: MarketConfig, seed: int) -> list[Day]:
    items = catalogue.build(config).truth
    return [_day(config, items, today, seed) for today in population.days(config)]


def _day(config: MarketConfig, items: TruthItems, today: population.Population, seed: int) -> Day:
    rng = np.random.default_rng([seed, today.day])
    users: TruthUsers = today.truth(config)[np.unique(today.active(config))]
    day = np.datetime64(config.start) + today.day
    true_UI = true_scores(items, users, day.astype(object))
    scores_UI = np.where(true_UI > 0, np.log(np.maximum(true_UI, 1e-12)), -20) + rng.normal(0, NOISE, true_UI.shape)
    top_UC = np.argsort(-scores_UI, axis=1, kind="stable")[:, :CANDIDATES]
    scores_UC = np.take_along_axis(scores_UI, top_UC, axis=1)
    chance_UC = chance_of_click(np.take_along_axis(true_UI, top_UC, axis=1), np.full(CANDIDATES, PLACE))
    return Day(users.user_id, chance_UC, scores_UC, _features(items, users, top_UC, scores_UC))


def _features(items: TruthItems, users: TruthUsers, top_UC: npt.NDArray[Any], scores_UC: Floats) -> Floats:
    """1, the model's score, the item's popularity bias, and user x item in each direction of style."""
    crossed = users.style_US[:, None, :] * items.style_IS[top_UC]
    simple = [np.ones_like(scores_UC), scores_UC, items.bias_I[top_UC].astype(np.float64)]
    return np.concatenate([np.stack(simple, axis=2), crossed], axis=2)


def estimates(day: Day, rng: np.random.Generator, target_UC: Floats, rows: npt.NDArray[Any]) -> dict[str, Estimate]:
    """From one log of the users at `rows`."""
    scores, features = day.scores_UC[rows], day.features_UCD[rows]
    logging = probabilities(scores, TEMPERATURE, UNIFORM)
    action, propensity = draw(logging, rng.random(len(rows)))
    clicked = rng.random(len(rows)) < day.chance_UC[rows, action]
    reward, user, target = clicked.astype(np.float64), np.arange(len(rows)), target_UC[rows]
    weight = estimators.weights(target, action, propensity)
    expected = cross_fitted(features, action, reward, user)
    weighted = estimators.ips(weight, reward)
    return {
        "ips": interval(weighted, user),
        "snips": ratio(moments(weighted, weight, user)),
        "doubly_robust": interval(estimators.doubly_robust(weight, reward, action, expected, target), user),
    }


def coverage(day: Day, repeats: int, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """policy -> estimator -> coverage, mean width over the true value, mean error over it."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for policy, (temperature, uniform) in POLICIES.items():
        target = probabilities(day.scores_UC, temperature, uniform)
        truth = float((target * day.chance_UC).sum(axis=1).mean())
        found: dict[str, list[Estimate]] = {name: [] for name in ESTIMATORS}
        for repeat in range(repeats):
            rng = np.random.default_rng([seed, repeat])
            rows = rng.integers(len(day.user_U), size=4 * len(day.user_U))
            for name, one in estimates(day, rng, target, rows).items():
                found[name].append(one)
        result[policy] = {name: _summary(ones, truth) for name, ones in found.items()}
        result[policy]["truth"] = {"value": round(truth, 5)}
    return result


def _summary(found: list[Estimate], truth: float) -> dict[str, float]:
    held = [one.low <= truth <= one.high for one in found]
    return {
        "coverage": round(float(np.mean(held)), 3),
        "width": round(float(np.mean([one.high - one.low for one in found])) / truth, 3),
        "bias": round(float(np.mean([one.value for one in found])) / truth - 1, 4),
    }


def regret(days: list[Day], seed: int) -> dict[str, list[float]]:
    """policy -> clicks missed of the best candidate, added up over the nights, per list of a night. Each learns from its own
    log, once a night."""
    width = days[0].features_UCD.shape[2]
    result: dict[str, list[float]] = {}
    for policy in ("the model's best", "uniform", "greedy regression", "linucb", "thompson"):
        rng, bandit, missed = np.random.default_rng([seed, 1]), LinearBandit(width), [0.0]
        for night, day in enumerate(days):
            scores = _choice(policy, bandit, day, rng) if night else day.scores_UC
            action = scores.argmax(axis=1)
            chance = np.take_along_axis(day.chance_UC, action[:, None], axis=1)[:, 0]
            missed.append(missed[-1] + float((day.chance_UC.max(axis=1) - chance).mean()))
            seen = np.take_along_axis(day.features_UCD, action[:, None, None], axis=1)[:, 0]
            bandit.learn(seen, (rng.random(len(action)) < chance).astype(np.float64))
        result[policy] = [round(value, 4) for value in missed[1:]]
    return result


def _choice(policy: str, bandit: LinearBandit, day: Day, rng: np.random.Generator) -> Floats:
    if policy == "the model's best":
        return day.scores_UC
    if policy == "uniform":
        return rng.random(day.scores_UC.shape)
    if policy == "linucb":
        return bandit.upper_bounds(day.features_UCD, width=0.2)
    if policy == "thompson":
        return bandit.sampled(day.features_UCD, rng, std=0.2)
    return bandit.expected(day.features_UCD)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.off_policy", description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    days = days_of(market("demo", {"days": options.nights}), options.seed)
    command = f"python -m benchmarks.off_policy --repeats {options.repeats} --nights {options.nights} --seed {options.seed}"
    bodies = {
        "off_policy_coverage": {
            "rounds": 4 * len(days[0].user_U),
            "policies": coverage(days[0], options.repeats, options.seed),
        },
        "exploration_regret": {"nights": options.nights, "regret": regret(days, options.seed)},
    }
    for name, body in bodies.items():
        whole = {"name": name, "command": command, **body, "machine": machine()}
        (options.out / f"{name}.json").write_text(json.dumps(whole, indent=2) + "\n")
        print(json.dumps(whole, indent=2))


if __name__ == "__main__":
    main()
