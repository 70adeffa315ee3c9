"""What diversity costs: `python -m benchmarks.diversity --data sequences.txt --titles Games-6k.item --config amazon-games`.

A ranker is trained on everything but each user's two newest items (strict). Its best 100 of the whole catalogue, less what the
user has seen, are re-ranked by MMR. The weight is chosen on validation items (of `--users` users): the largest gain in
intra-list diversity that loses at most `--lost` of NDCG@10. The test items are read once, at that weight. Diversity is told in
the space that MMR works in (the ranker's item vectors) and in one that it does not know (words of the titles, TF-IDF).
"""

import argparse
import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from benchmarks.accuracy.fit import CPU, KS, device_of, fit
from benchmarks.accuracy.report import commit, shortened
from benchmarks.accuracy.sequences import Questions, questions, read_sequences
from benchmarks.machine import machine
from nightrank.feature_store.contracts.config import merged, validate
from nightrank.pipeline.config import find
from nightrank.ranker.metrics.lists import coverage, gini, intra_list_diversity
from nightrank.ranker.metrics.ranking import per_row
from nightrank.ranker.model import Ranker
from nightrank.ranker.rerank.lists import Lists, cut, started
from nightrank.ranker.rerank.mmr import mmr
from nightrank.ranker.rerank.vectors import unit_vectors
from nightrank.ranker.retrieval.listing import best_items
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.evaluation.bootstrap import percentile_interval, resampled_means
from nightrank.trainer.loop.step import rows_between

DEPTH: Final = 100
K: Final = 10
ROWS: Final = 2048
WEIGHTS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
DRAWS: Final = 1000
Floats = npt.NDArray[np.float64]


class Space(NamedTuple):
    vectors_ID: npt.NDArray[np.float32]
    words_IW: Any
    """Sparse rows of length 1."""


def main() -> dict[str, Any]:
    options = _options()
    torch.set_num_threads(options.threads)
    config = validate(TrainerConfig, merged([find(name) for name in options.config], options.set).get("trainer", {}))
    data, about = read_sequences(options.data), machine(threads=options.threads)
    outcome = fit(config, data, "strict", options.seed, say, every=options.every)
    ranker, device = outcome.ranker.eval(), device_of(config)
    with torch.no_grad():
        vectors = unit_vectors(ranker.all_item_vectors().float().numpy())
    space = Space(vectors, title_words(options.titles, data.items, data.shift))
    lists, target_B = candidates(ranker, questions(data, 2, 2), device)
    some = np.random.default_rng(options.seed).permutation(len(target_B))[: options.users]
    valid = Lists(*(values[some] for values in lists)), target_B[some]
    choices = [figures(*valid, space, weight) for weight in (0.0, *WEIGHTS)]
    chosen = choose(choices, options.lost)
    test = candidates(ranker, questions(data, 1, 1), device)
    plain, diverse = (figures(*test, space, weight) for weight in (0.0, chosen))
    result = {
        "name": "games_diversity",
        "command": "python -m benchmarks.diversity " + " ".join(shortened(argument) for argument in sys.argv[1:]),
        "commit": commit(),
        "machine": about,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "trained": {"epochs": outcome.best_epoch, "minutes": round(outcome.minutes, 2)},
        "validation": [told(choice) for choice in choices],
        "weight": chosen,
        "test": {"users": len(plain["ndcg_B"]), "before": told(plain), "after": told(diverse), **compared(plain, diverse)},
    }
    if options.lists:
        ids = {"before": plain["ids_BK"], "after": diverse["ids_BK"], "target": test[1]}
        np.savez_compressed(options.lists, **ids, vectors=space.vectors_ID)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return result


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def candidates(ranker: Ranker, queries: Questions, device: Any) -> tuple[Lists, npt.NDArray[np.int64]]:
    """The best 100 of each question, and its target."""
    catalogue, longest = ranker.all_item_vectors(), ranker.config.encoder.max_length
    ids, scores = [], []
    with torch.no_grad():
        for first in range(0, queries.history.rows, ROWS):
            part = rows_between(queries.history, first, min(first + ROWS, queries.history.rows))
            with device.autocast():
                vectors = ranker.user_vectors(part.newest(longest))
            found = best_items(ranker.head, vectors.float(), catalogue, DEPTH, (part.items_T, part.offsets_B1))
            ids.append(found[0].numpy())
            scores.append(found[1].to(CPU).numpy())
    return started(np.concatenate(ids), np.concatenate(scores)), queries.target_B.numpy()


def figures(lists: Lists, target_B: npt.NDArray[np.int64], space: Space, weight: float) -> dict[str, Any]:
    """Of the ten best after MMR with that weight: NDCG and both diversities by user, and figures of all lists together."""
    parts = (Lists(*(values[at : at + ROWS] for values in lists)) for at in range(0, len(target_B), ROWS))
    ids_BK = np.concatenate([_reranked(part, space, weight) for part in parts])
    by_user = per_row(ids_BK, target_B, np.arange(len(target_B) + 1), KS[:1])
    items = len(space.vectors_ID) - 1
    return {
        "weight": weight,
        "ids_BK": ids_BK,
        "ndcg_B": by_user[f"ndcg@{K}"],
        "diversity_B": intra_list_diversity(ids_BK, space.vectors_ID),
        "title_diversity_B": sparse_diversity(ids_BK, space.words_IW),
        "recall@10": float(by_user[f"recall@{K}"].mean()),
        "coverage": coverage(ids_BK, items),
        "gini": gini(ids_BK, items),
    }


def _reranked(lists: Lists, space: Space, weight: float) -> npt.NDArray[np.int64]:
    return cut(mmr(lists, space.vectors_ID, K, weight) if weight else lists, K).ids_BC


def sparse_diversity(ids_BK: npt.NDArray[np.int64], words_IW: Any) -> Floats:
    """`intra_list_diversity` where vectors are sparse rows of length 1 or of zeros."""
    rows = np.repeat(np.arange(len(ids_BK)), ids_BK.shape[1])
    listed_BI = sparse.csr_matrix((np.ones(ids_BK.size), (rows, ids_BK.ravel())), shape=(len(ids_BK), words_IW.shape[0]))
    own_I = np.asarray(words_IW.multiply(words_IW).sum(axis=1)).ravel()
    whole_B = np.asarray((listed_BI @ words_IW).power(2).sum(axis=1)).ravel()
    n_B = (ids_BK > 0).sum(axis=1)
    result: Floats = 1 - (whole_B - listed_BI @ own_I) / np.maximum(n_B * (n_B - 1), 1)
    return result


def title_words(path: Path, items: int, shift: int) -> Any:
    """[I1, words] TF-IDF of the titles, rows of length 1; an item without a title is a row of zeros."""
    titles = {int(item) + shift: title for item, title in (line.split("\t", 1) for line in path.read_text().splitlines()[1:])}
    words: dict[str, int] = {}
    pairs = [
        (item, words.setdefault(word, len(words)))
        for item, title in titles.items()
        if 0 < item <= items
        for word in set(re.findall(r"[a-z0-9]+", title.lower()))
    ]
    item, word = np.array(pairs).T
    idf = np.log(items / np.bincount(word))
    matrix = sparse.csr_matrix((idf[word], (item, word)), shape=(items + 1, len(words)))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.diags(1 / np.where(length > 0, length, 1)) @ matrix


def choose(choices: list[dict[str, Any]], lost: float) -> float:
    """The weight of the most diverse lists among those that lose at most that share of the first one's NDCG."""
    least = (1 - lost) * float(choices[0]["ndcg_B"].mean())
    kept = [choice for choice in choices if float(choice["ndcg_B"].mean()) >= least]
    return float(max(kept, key=lambda choice: float(choice["diversity_B"].mean()))["weight"])


def compared(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Shares of the first, with 95 % intervals over users: both sides are drawn together."""
    found = {}
    for name in ("ndcg", "diversity", "title_diversity"):
        pair = np.stack([before[f"{name}_B"], after[f"{name}_B"]], axis=1)
        ratio = resampled_means(pair, 1, DRAWS)
        low, high = percentile_interval(ratio[:, 1] / ratio[:, 0] - 1, 0.95)
        found[f"{name}_change"] = {"share": float(pair[:, 1].mean() / pair[:, 0].mean() - 1), "interval": [low, high]}
    return found


def told(choice: dict[str, Any]) -> dict[str, Any]:
    means = {name.removesuffix("_B"): float(value.mean()) for name, value in choice.items() if name.endswith("_B")}
    rest = {name: value for name, value in choice.items() if not name.endswith(("_B", "_BK"))}
    found = {name: round(value, 6) for name, value in {**rest, **means}.items()}
    assert all(map(math.isfinite, found.values()))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diversity", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="file of `user item item ...` lines")
    parser.add_argument("--titles", type=Path, required=True, help="tab separated ids and titles")
    parser.add_argument("--config", nargs="*", default=[], help="configuration files, as `nightrank full --config` takes them")
    parser.add_argument("--set", nargs="*", default=[], help="trainer.key=value")
    parser.add_argument("--lost", type=float, default=0.015, help="share of NDCG@10 that may be lost on validation")
    parser.add_argument("--users", type=int, default=10_000, help="users whose validation items choose the weight")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="validate after so many epochs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lists", type=Path, help="where to put the test lists and the item vectors, for other programs")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
