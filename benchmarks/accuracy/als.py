"""MLlib's implicit ALS in our harness: `python -m benchmarks.accuracy.als --data FILE --out FILE`.

Fitted by Spark as the baseline of every run is; a user's vector is the half-step on the history that is asked about (Hu, Koren
and Volinsky 2008). Every setting of the grid is judged on validation; the best is asked for test once a protocol and seed.
"""

import argparse
import itertools
import json
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from benchmarks.accuracy.fit import KS, means
from benchmarks.accuracy.report import commit, figures, shortened, told
from benchmarks.accuracy.sequences import Protocol, Questions, Sequences, held_out, questions, read_sequences
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.settings import BaselineSettings, SparkSettings
from nightrank.feature_store.session import get_session
from nightrank.ranker.metrics.ranking import per_row
from nightrank.spark_jobs.executor.baselines import Fitted, fold_in
from nightrank.spark_jobs.executor.topk import top_k
from nightrank.spark_jobs.score_baselines import als

GRID: Final = {"als_rank": (64, 128), "als_regularisation": (0.01, 0.05, 0.1), "als_alpha": (10.0, 40.0)}
ITERATIONS: Final = 15
PROTOCOLS: Final[tuple[Protocol, ...]] = ("strict", "refit")
BLOCK: Final = 1024


def main() -> dict[str, Any]:
    options = _options()
    data = read_sequences(options.data)
    spark = get_session(SparkSettings(master=f"local[{options.threads}]", quick_start=False))
    chosen, tried = choose(spark, data)
    result = {
        "name": "als",
        "data": options.data.parent.name,
        "users": data.users,
        "items": data.items,
        "settings": chosen.model_dump(include={*GRID, "als_iterations"}),
        "tried": tried,
        "command": "python -m benchmarks.accuracy.als " + " ".join(shortened(argument) for argument in sys.argv[1:]),
        "commit": commit(),
        "machine": f"{platform.machine()}, {options.threads} threads",
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runs": [run(spark, data, chosen, protocol, seed) for seed in options.seeds for protocol in PROTOCOLS],
    }
    text = json.dumps(result, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)
    return result


def choose(spark: SparkSession, data: Sequences) -> tuple[BaselineSettings, list[dict[str, float]]]:
    """The settings of the grid with the best NDCG@10 on validation items, and what each had."""
    queries, tried, best, chosen = questions(data, 2, 2), [], -1.0, BaselineSettings()
    for values in itertools.product(*GRID.values()):
        settings = BaselineSettings(als_iterations=ITERATIONS, **dict(zip(GRID, values, strict=True)))
        fitted, _ = fit(spark, data, settings, "strict", seed=1)
        found = means(ask(fitted, queries, data.items, settings))
        tried.append({**dict(zip(GRID, values, strict=True)), **found})
        print(f"{tried[-1]}", file=sys.stderr, flush=True)
        if found["ndcg@10"] > best:
            best, chosen = found["ndcg@10"], settings
    return chosen, tried


def run(spark: SparkSession, data: Sequences, settings: BaselineSettings, protocol: Protocol, seed: int) -> dict[str, Any]:
    fitted, minutes = fit(spark, data, settings, protocol, seed)
    queries = questions(data, 1, 1)
    test = {"of": queries.users, **figures(ask(fitted, queries, data.items, settings), seed)}
    print(f"seed {seed}, {protocol}: test {told(test)}", file=sys.stderr, flush=True)
    parameters = (data.users + data.items) * settings.als_rank
    epochs = settings.als_iterations
    return {"protocol": protocol, "seed": seed, "epoch": epochs, "minutes": minutes, "parameters": parameters, "test": test}


def fit(
    spark: SparkSession, data: Sequences, settings: BaselineSettings, protocol: Protocol, seed: int
) -> tuple[Fitted, float]:
    """Item factors from each user's items less the newest ones that the protocol holds out, and the minutes it took."""
    started = time.perf_counter()
    rows = als(settings, seed).fit(_pairs(spark, data, held_out(protocol))).itemFactors.toPandas()
    factors_Id = np.zeros((data.items + 1, settings.als_rank))
    factors_Id[rows["id"].to_numpy()] = np.stack(rows["features"].to_list())
    nothing = np.zeros(0, np.int64)
    fitted = Fitted(
        popular_I=-np.ones(data.items + 1, np.float32),
        factors_Id=factors_Id,
        gram_dd=factors_Id.T @ factors_Id,
        neighbours=nothing,
        similarities=nothing.astype(np.float64),
        starts=nothing,
    )
    return fitted, round((time.perf_counter() - started) / 60, 2)


def _pairs(spark: SparkSession, data: Sequences, hold: int) -> DataFrame:
    users = np.repeat(np.arange(data.users), data.lengths)
    place = np.arange(len(data.flat)) - data.offsets[:-1][users]
    inside = place < (data.lengths - hold)[users]
    pairs = pd.DataFrame({c.USER: users[inside].astype(np.int32), c.ITEM: data.flat[inside].astype(np.int32)})
    return spark.createDataFrame(pairs.drop_duplicates().assign(rating=np.float32(1.0)))


def ask(fitted: Fitted, queries: Questions, items: int, settings: BaselineSettings) -> dict[str, np.ndarray]:
    """Each metric by user, full ranking, what the user has seen left out; items without a vector come last."""
    ids = [top_k(scores_BI, max(KS))[0] for scores_BI in _scores(fitted, queries, items, settings)]
    target = queries.target_B.numpy()
    return per_row(np.concatenate(ids).astype(np.int64), target, np.arange(len(target) + 1), KS)


def _scores(fitted: Fitted, queries: Questions, items: int, settings: BaselineSettings) -> Iterator[np.ndarray]:
    history = queries.history
    rows = np.split(history.items_T.numpy(), history.offsets_B1.numpy()[1:-1])
    for first in range(0, len(rows), BLOCK):
        block = rows[first : first + BLOCK]
        users_Bd, _ = fold_in(fitted, block, settings.als_regularisation, settings.als_alpha)
        scores_BI = (users_Bd @ fitted.factors_Id.T).astype(np.float32)
        for row, seen in enumerate(block):
            scores_BI[row, seen] = -np.inf
        scores_BI[:, ~fitted.factors_Id.any(axis=1)] = -np.inf
        yield scores_BI


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.als", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="file of `user item item ...` lines")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
