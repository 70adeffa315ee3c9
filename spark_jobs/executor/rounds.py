"""Rounds of a drawn place into what the estimates need of them, inside executors. No table passes through the driver.

Shapes: R rounds, C candidates.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.experiments import estimators
from nightrank.experiments.linear_bandit import LinearBandit
from nightrank.experiments.outcome import FOLDS, fold_of
from nightrank.experiments.slot_policy import NONE, by_order, probabilities
from nightrank.feature_store.contracts import columns as c

Batches = Iterable[pa.RecordBatch]
Floats = npt.NDArray[np.floating[Any]]
POLICY: Final = "policy"
WEIGHT: Final = "weight"
WEIGHTED: Final = "weighted"
ROBUST: Final = "robust"
CONTRIBUTIONS: Final = pa.schema(
    [(c.USER_ID, pa.string()), (POLICY, pa.string())]
    + [(name, pa.float64()) for name in (c.PLACE_REWARD, WEIGHT, WEIGHTED, ROBUST)]
)
FIT: Final = pa.schema([("fold", pa.int32()), ("cell", pa.int32()), ("value", pa.float64())])
WIDTH: Final = 4


class Rounds(NamedTuple):
    user_R: list[str]
    chosen_R: npt.NDArray[np.int64]
    scores_RC: Floats
    """The model's, in the order of the candidates; `NONE` where the list had fewer."""
    chances_RC: Floats
    reward_R: Floats


def rounds_of(batch: pa.RecordBatch) -> Rounds:
    scores, chances = batch.column(c.SCORES), batch.column(c.CHANCES)
    return Rounds(
        batch.column(c.USER_ID).to_pylist(),
        batch.column(c.CHOSEN).to_numpy(zero_copy_only=False).astype(np.int64),
        _padded(scores, NONE),
        _padded(chances, 0.0),
        batch.column(c.PLACE_REWARD).to_numpy(zero_copy_only=False).astype(np.float64),
    )


def features_of(scores_RC: Floats) -> Floats:
    """[R, C, WIDTH] for the expected reward: 1, the score less the best one, its square, and the item's part of a softmax."""
    there = np.isfinite(scores_RC)
    behind = np.where(there, scores_RC - scores_RC.max(axis=1, keepdims=True), 0.0)
    softmax = np.where(there, np.exp(behind), 0.0)
    softmax = softmax / softmax.sum(axis=1, keepdims=True)
    return np.stack([np.ones_like(behind), behind, behind**2, softmax], axis=2)


def fold_moments(batches: Batches) -> Batches:
    """Sums of a ridge regression for each fold of users: FIT, the precision's cells and after them the moment's."""
    sums = [LinearBandit(WIDTH, penalty=0.0) for _ in range(FOLDS)]
    for batch in batches:
        rounds = rounds_of(batch)
        chosen_RD = np.take_along_axis(features_of(rounds.scores_RC), rounds.chosen_R[:, None, None], axis=1)[:, 0]
        fold_R = np.array([fold_of(user) for user in rounds.user_R])
        for fold, one in enumerate(sums):
            one.learn(chosen_RD[fold_R == fold], rounds.reward_R[fold_R == fold])
    cells = [np.concatenate([one.precision_DD.ravel(), one.moment_D]) for one in sums]
    owner = np.repeat(np.arange(FOLDS, dtype=np.int32), len(cells[0]))
    cell = np.tile(np.arange(len(cells[0]), dtype=np.int32), FOLDS)
    yield pa.RecordBatch.from_arrays([pa.array(owner), pa.array(cell), pa.array(np.concatenate(cells))], schema=FIT)


def models_of(cells: Mapping[tuple[int, int], float]) -> list[LinearBandit]:
    """fold -> the regression over the other folds' users, of sums by (fold, cell)."""
    models = []
    for own in range(FOLDS):
        flat = np.array([sum(cells[fold, cell] for fold in range(FOLDS) if fold != own) for cell in range(WIDTH * (WIDTH + 1))])
        model = LinearBandit(WIDTH)
        model.precision_DD = model.precision_DD + flat[: WIDTH * WIDTH].reshape(WIDTH, WIDTH)
        model.moment_D = flat[WIDTH * WIDTH :]
        models.append(model)
    return models


def contributor(policies: Mapping[str, tuple[float, float]], models: list[LinearBandit]) -> Callable[[Batches], Batches]:
    """A mapInArrow function: rounds in, CONTRIBUTIONS of each to each policy out. `policies`: (temperature, uniform)."""

    def contribute(batches: Batches) -> Batches:
        for batch in batches:
            rounds = rounds_of(batch)
            expected_RC = _expected(rounds, models)
            ordered_RC = by_order(np.isfinite(rounds.scores_RC))
            for name, (temperature, uniform) in policies.items():
                yield _contributions(rounds, name, probabilities(ordered_RC, temperature, uniform), expected_RC)

    return contribute


def _expected(rounds: Rounds, models: list[LinearBandit]) -> Floats:
    fold_R, features = np.array([fold_of(user) for user in rounds.user_R]), features_of(rounds.scores_RC)
    by_fold = np.stack([model.expected(features) for model in models])
    result: Floats = by_fold[fold_R, np.arange(len(fold_R))]
    return result


def _contributions(rounds: Rounds, name: str, target_RC: Floats, expected_RC: Floats) -> pa.RecordBatch:
    logged_R = np.take_along_axis(rounds.chances_RC, rounds.chosen_R[:, None], axis=1)[:, 0]
    weight_R = estimators.weights(target_RC, rounds.chosen_R, logged_R)
    robust_R = estimators.doubly_robust(weight_R, rounds.reward_R, rounds.chosen_R, expected_RC, target_RC)
    values = [rounds.reward_R, weight_R, estimators.ips(weight_R, rounds.reward_R), robust_R]
    names = pa.array([name] * len(rounds.user_R))
    return pa.RecordBatch.from_arrays([pa.array(rounds.user_R), names, *map(pa.array, values)], schema=CONTRIBUTIONS)


def _padded(lists: pa.ListArray, filler: float) -> Floats:
    """[R, longest]."""
    lengths = np.asarray(lists.value_lengths().fill_null(0))
    result = np.full((len(lists), int(lengths.max(initial=1))), filler)
    result[np.arange(result.shape[1])[None, :] < lengths[:, None]] = np.asarray(lists.flatten(), dtype=np.float64)
    return result
