"""A click ranker with and without as-of features: `python -m benchmarks.accuracy.as_of_features --data market --out FILE`.

`--data market` simulates one (`--preset`), another value is MovieLens' `ratings.csv`. Both rankers see the same rows, in the
same order under the same seeds; `with` also reads the aggregates of user and item as of each row's day, and users' attributes.
Figures are of the test rows; intervals of the difference are a paired bootstrap over users (95 %).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.accuracy.as_of_rows import Log, Values, aggregates, movielens, simulated
from benchmarks.accuracy.ctr import settings
from benchmarks.accuracy.report import commit
from benchmarks.machine import machine
from nightrank.feature_store.contracts.files import write_json
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.compose import compose_ctr
from nightrank.ranker.ctr.config import CtrShapes, FieldShape, NumericShape
from nightrank.ranker.metrics.ctr import CUT, auc, log_loss
from nightrank.trainer.config.ctr import CtrTrainerConfig
from nightrank.trainer.ctr.fit import fit_ctr, probabilities
from nightrank.trainer.evaluation.bootstrap import percentile_interval
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.device import Device, make_deterministic

DRAWS: Final = 1_000
PARTS: Final = ("train", "valid", "test")


def batches(log: Log, known: dict[str, Values], features: bool) -> tuple[dict[str, ImpressionBatch], CtrShapes]:
    """Codes and moments are of the training rows; what they do not hold is code 0."""
    names = [name for name in log.fields if features or name not in log.static]
    train = log.part == "train"
    columns = [_coded(log.rows[name], train) for name in ("user", "item")] + [_coded(log.fields[n], train) for n in names]
    fields = tuple(FieldShape(name=n, size=int(x.max()) + 1) for n, x in zip(["user", "item", *names], columns, strict=True))
    numbers = known if features else {}
    numeric = tuple(
        NumericShape(name=name, mean=float(x[train].mean()), scale=float(x[train].std()) or 1.0) for name, x in numbers.items()
    )
    codes = torch.from_numpy(np.stack(columns, axis=1))
    values = np.stack(list(numbers.values()), axis=1) if numbers else np.zeros((len(train), 0))
    whole = ImpressionBatch(
        codes_BF=codes,
        numeric_BD=torch.from_numpy(values.astype(np.float32)),
        labels_BA=torch.from_numpy(log.rows["label"]).unsqueeze(1),
        weight_B=torch.ones(len(codes)),
    )
    parts = {part: whole.take(torch.from_numpy(np.flatnonzero(log.part == part))) for part in PARTS}
    return parts, CtrShapes(fields=fields, numeric=numeric)


def _coded(column: Values, train: Values) -> Values:
    known = np.unique(column[train])
    place = np.minimum(np.searchsorted(known, column), len(known) - 1)
    return np.where(known[place] == column, place + 1, 0).astype(np.int64)


def scored(log: Log, known: dict[str, Values], features: bool, config: CtrTrainerConfig, seeds: list[int]) -> Values:
    """[seeds, test rows] probabilities of rankers trained one a seed, the best of validation."""
    device = Device(torch.device("cpu"), False)
    make_deterministic(device)
    parts, shapes = batches(log, known, features)
    found = []
    for seed in seeds:
        ranker = compose_ctr(config.model, shapes, seed)
        fit_ctr(ranker, parts["train"], parts["valid"], config, seed, SingleProcess(), device)
        found.append(probabilities(ranker, parts["test"])[:, 0])
    return np.array(found)


def figures(scores_SN: Values, labels_N: Values) -> dict[str, float]:
    return {
        "auc": float(np.mean([auc(scores, labels_N) for scores in scores_SN])),
        "log_loss": float(np.mean([log_loss(scores, labels_N) for scores in scores_SN])),
    }


def difference(with_SN: Values, without_SN: Values, labels_N: Values, users_N: Values, seed: int = 1) -> dict[str, Any]:
    """Mean over seeds of with less without, and its interval over users drawn with replacement."""
    rng = np.random.default_rng(seed)
    _, owner = np.unique(users_N, return_inverse=True)
    draws = np.empty((DRAWS, 2))
    orders = [[np.argsort(scores, kind="stable") for scores in each] for each in (with_SN, without_SN)]
    losses = [np.mean([_losses(scores, labels_N) for scores in each], axis=0) for each in (with_SN, without_SN)]
    for draw in range(DRAWS):
        weights = np.bincount(rng.integers(0, owner.max() + 1, owner.max() + 1), minlength=owner.max() + 1)[owner]
        areas = [np.mean([_weighted_auc(labels_N[order], weights[order]) for order in each]) for each in orders]
        draws[draw] = areas[0] - areas[1], np.average(losses[0] - losses[1], weights=weights)
    whole = {name: figures(with_SN, labels_N)[name] - figures(without_SN, labels_N)[name] for name in ("auc", "log_loss")}
    return {
        name: {"mean": whole[name], "interval": percentile_interval(draws[:, place], 0.95)} for place, name in enumerate(whole)
    }


def _losses(scores: Values, labels: Values) -> Values:
    cut = np.clip(scores.astype(np.float64), CUT, 1 - CUT)
    losses: Values = -np.where(labels == 1, np.log(cut), np.log1p(-cut))
    return losses


def _weighted_auc(labels: Values, weights: Values) -> float:
    """Of rows in order of their scores; equal scores, which are rare, count in the order they are in."""
    negatives = np.cumsum(weights * (labels == 0))
    won = (weights * (labels == 1) * negatives).sum()
    return float(won / ((weights * (labels == 1)).sum() * negatives[-1]))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    started, before = time.monotonic(), machine(threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        is_market = options.data == "market"
        log = simulated(Path(folder), options.preset, 17, 0.3) if is_market else movielens(Path(options.data), 17)
    known, test = aggregates(log), log.part == "test"
    labels, users = log.rows["label"][test], log.rows["user"][test]
    result: dict[str, Any] = {
        "name": f"as_of_features_{'market' if is_market else Path(options.data).parent.name}",
        "rows": {part: int((log.part == part).sum()) for part in PARTS}, "test_users": len(np.unique(users)),
        "features": [*known, *log.static], "seeds": options.seeds, "machine": before, "commit": commit(), "runs": [],
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "command": _command(options),
    }  # fmt: skip
    for model in options.models:
        config = settings(model, [f"epochs={options.epochs}", *options.overrides])
        both = [scored(log, known, features, config, options.seeds) for features in (True, False)]
        run = {"model": model, "with": figures(both[0], labels), "without": figures(both[1], labels)}
        result["runs"].append({**run, "with_less_without": difference(both[0], both[1], labels, users)})
        result["seconds"] = round(time.monotonic() - started, 1)
        if options.out:  # what is done stays, whatever comes after
            write_json(options.out, result)
    return result


def _command(options: argparse.Namespace) -> str:
    data = options.data if options.data == "market" else "FOLDER/ratings.csv"
    given = f"--data {data} --preset {options.preset} --models {' '.join(options.models)} --epochs {options.epochs}"
    changed = "".join(f" --set {text}" for text in options.overrides)
    return (
        f"python -m benchmarks.accuracy.as_of_features {given} --seeds {' '.join(map(str, options.seeds))}{changed} --out FILE"
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.as_of_features", description=__doc__)
    parser.add_argument("--data", default="market", help="market, or MovieLens' ratings.csv")
    parser.add_argument("--preset", default="demo", choices=["tiny", "demo", "large"])
    parser.add_argument("--models", nargs="+", default=["lr", "dnn", "dcnv2"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="overrides", help="of section ctr")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
