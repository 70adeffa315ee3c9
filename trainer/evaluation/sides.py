"""Challenger and champion on the same hold-out rows: what the gate's comparison and its limits are made of. One pass.

Shapes: N rows that have a target left, K list length, I1 = items + 1.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.metrics.ranking import per_row
from nightrank.trainer.data.epoch import iter_part
from nightrank.trainer.evaluation.recommenders import Ids, ScoredRecommender, days_of
from nightrank.trainer.loop.validation import Queries, queries

Floats = npt.NDArray[np.float64]
K = 10
METRIC = f"ndcg@{K}"
BATCH_ROWS = 1024
REPEATS = 3
"""Of the first batch."""


@dataclass(frozen=True)
class Side:
    """One model's answers."""

    ndcg_N: Floats
    ids_NK: Ids
    scores_NK: Floats
    """-inf where a list is shorter, and where it was not made from scores."""
    seconds: float = 0.0
    """Of a row, in the fastest batch."""


@dataclass(frozen=True)
class Sides:
    ours: Side
    theirs: Side
    history_N: Ids
    """Positions that a row's history has."""
    target_N: Ids
    """Its first target."""

    def __len__(self) -> int:
        return len(self.target_N)


def both(
    snapshot: DatasetSnapshot, root: Location, ours: ScoredRecommender, theirs: ScoredRecommender, rows: int = BATCH_ROWS
) -> Sides:
    """Both on the rows of `holdout`; no row where there is no such part."""
    models = {"ours": ours.on(snapshot, root), "theirs": theirs.on(snapshot, root)}
    parts: dict[str, list[Side]] = {name: [] for name in models}
    history, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in iter_part(snapshot, root, "holdout", batch_rows=rows) if snapshot.rows("holdout") else ():
        query = queries(batch, snapshot)
        if not query.history.rows:
            continue
        days = days_of(batch, query.kept_B)
        first = len(history) == 1
        for name in models if len(history) % 2 else reversed(list(models)):
            parts[name].append(_answers(models[name], query, days, again=REPEATS if first else 0))
        history.append(query.history.lengths.numpy())
        targets.append(query.targets[0].numpy()[query.targets[1].numpy()[:-1]])
    sides = {name: _whole(answers) for name, answers in parts.items()}
    return Sides(**sides, history_N=np.concatenate(history), target_N=np.concatenate(targets))


def _answers(model: ScoredRecommender, query: Queries, days: Ids, again: int) -> Side:
    """The batch is scored `again` so often: what is read and compiled once, and what else the machine did, is in no time."""
    seconds = []
    for _ in range(1 + again):
        began = perf_counter()
        ids_BK, scores_BK = model.scored(query, days, K)
        seconds.append((perf_counter() - began) / query.history.rows)
    targets, offsets = (part.numpy() for part in query.targets)
    return Side(per_row(ids_BK, targets, offsets, (K,))[METRIC], ids_BK, scores_BK, min(seconds))


def _whole(answers: list[Side]) -> Side:
    if not answers:
        return Side(np.zeros(0), np.zeros((0, K), np.int64), np.zeros((0, K)))
    # A last batch of a few rows has its fixed costs for few.
    most = max(len(answer.ndcg_N) for answer in answers)
    return Side(
        np.concatenate([answer.ndcg_N for answer in answers]),
        np.concatenate([answer.ids_NK for answer in answers]),
        np.concatenate([answer.scores_NK for answer in answers]),
        min(answer.seconds for answer in answers if len(answer.ndcg_N) == most),
    )
