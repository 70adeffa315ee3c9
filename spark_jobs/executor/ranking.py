"""The model's lists of users that have a history it knows: candidates, the shop's rules, re-ranking, and what fills the rest.

Shapes: B users, C candidates, K places (id 0: no item).
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nightrank.spark_jobs.executor.candidates import Proposer, merged
from nightrank.spark_jobs.executor.fallback import Fallback
from nightrank.spark_jobs.executor.list_rows import NONE, Listed
from nightrank.spark_jobs.executor.rerank import reranked, unit_vectors_of
from nightrank.spark_jobs.executor.shop_rules import FILLED, OpenRules, taken_by, within_caps
from nightrank.spark_jobs.executor.shortened import filled_up
from nightrank.spark_jobs.executor.users import Ids, ScoreRules, Users, eligible_items

Scores = npt.NDArray[np.float32]
DEEPER: Final = 5
"""Caps choose from so many times the places, at least."""


class Ranking:
    """One micro-batch: the users in the rows `warm` of `users`. Without rules and weights, lists are the scorer's own."""

    def __init__(
        self, users: Users, warm: list[int], rules: ScoreRules, scorer: Any, fallback: Fallback, shop: OpenRules | None
    ) -> None:
        self.users, self.warm, self.rules, self.scorer, self.fallback, self.shop = users, warm, rules, scorer, fallback, shop
        self.histories = [users.histories[row] for row in warm]
        self.seen = [users.seen[row] for row in warm]
        self.out = self.seen if shop is None else [users.out(row) for row in warm]
        free = np.zeros(len(scorer.item_matrix), dtype=bool)
        free[: rules.items + 1] = eligible_items(rules.items, rules.hidden)
        self.free_I = self.eligible_I = free
        if shop is not None:
            self.eligible_I = free.copy()
            self.eligible_I[: rules.items + 1] &= shop.allowed_I(rules.items + 1)
        self.batch = self._batch()

    def lists(self, places: int) -> list[Listed]:
        """One for each of the users, of so many places; rules re-rank the first k."""
        rerank, k = self.rules.rerank, self.rules.k
        depth = places if rerank is None else max(places, rerank.settings.candidates)
        ids, scores = self._best(max(depth, DEEPER * k) if self.shop and self.shop.caps else depth, self.out, self.eligible_I)
        sources: list[dict[int, str]] = [{} for _ in self.warm]
        if rerank is not None and rerank.candidates.is_on:
            ids, scores, sources = self._with_more(ids, scores)
        if self.shop is not None and self.shop.caps:
            ids, scores = self._within_caps(ids, scores)
        kept = ids
        moved: list[dict[int, str]] = [{} for _ in self.warm]
        if rerank is not None:
            items = [history.items for history in self.histories]
            ids, scores, moved = reranked(ids, scores, items, self.scorer.item_matrix, rerank, k, places)
        found = zip(ids[:, :places], scores[:, :places], moved, sources, strict=True)
        lists = [Listed(i[i > 0], s[i > 0], moved=m or NONE, source=o or NONE) for i, s, m, o in found]
        return lists if self.shop is None else self._told(lists, kept, self.shop)

    def _best(self, k: int, out: list[Ids], eligible: npt.NDArray[np.bool_]) -> tuple[Ids, Scores]:
        import torch

        excluded = (torch.from_numpy(np.concatenate(out)), _offsets([len(items) for items in out]))
        ids, scores = self.scorer.best(self.batch, k, excluded, torch.from_numpy(eligible))
        return ids.numpy(), scores.numpy()

    def _batch(self) -> Any:
        import torch

        from nightrank.ranker.batch import Batch

        offsets = _offsets([len(history.items) for history in self.histories])
        flat = (np.concatenate([history[column] for history in self.histories]) for column in range(3))
        items_T, actions_T, times_T = (torch.from_numpy(values.astype(np.int64)) for values in flat)
        batch = Batch(
            items_T=items_T,
            actions_T=actions_T,
            times_T=times_T,
            offsets_B1=offsets,
            loss_from_B=offsets.diff(),
            weight_B=torch.ones(len(self.warm)),
            users_B=torch.tensor([self.users.user[row] for row in self.warm]),
        )
        return batch if self.users.tables is None else self.users.tables.fill(batch)

    def _with_more(self, ids: Ids, scores: Scores) -> tuple[Ids, Scores, list[dict[int, str]]]:
        import torch

        rerank, matrix = self.rules.rerank, self.scorer.item_matrix
        assert rerank is not None
        proposer = Proposer(rerank, self.fallback, len(matrix))
        segments = [self.users.segment[row] for row in self.warm]
        histories = [history.items.astype(np.int64) for history in self.histories]
        proposed = proposer.proposed(segments, histories, self.out, unit_vectors_of(matrix), self.eligible_I)
        queries = self.scorer.user_vectors(self.batch)
        return merged(ids, scores, proposed, lambda more: self.scorer.scores_of(queries, torch.from_numpy(more)).numpy())

    def _within_caps(self, ids: Ids, scores: Scores) -> tuple[Ids, Scores]:
        from nightrank.ranker.rerank.lists import started
        from nightrank.ranker.rerank.moves import places_of

        assert self.shop is not None
        kept = within_caps(started(ids, scores), self.shop.caps)[0].ids_BC
        place = np.maximum(places_of(kept, ids) - 1, 0)
        return kept, np.where(kept > 0, np.take_along_axis(scores, place, axis=1), -np.inf).astype(np.float32)

    def _told(self, lists: list[Listed], kept: Ids, shop: OpenRules) -> list[Listed]:
        """With what rules took of the list that the model would show, and filled where they left too little."""
        free, _ = self._best(self.rules.k, self.seen, self.free_I)
        result = []
        for row, own, one, left, out in zip(self.warm, free, lists, kept, self.out, strict=True):
            taken = taken_by(own, shop, self.users.bought[row], left)
            result.append(self._filled(one, out, shop)._replace(taken="; ".join(taken) or None))
        return result

    def _filled(self, one: Listed, out: Ids, shop: OpenRules) -> Listed:
        if len(one.ids) >= self.rules.k:
            return one
        ids, fillers = filled_up(one.ids, self.fallback.items[""], out, shop.caps, self.rules.k)
        scores = np.concatenate([one.scores, np.zeros(len(ids) - len(one.ids), dtype=np.float32)])
        return one._replace(ids=ids, scores=scores, fillers=dict.fromkeys(fillers.tolist(), FILLED))


def _offsets(lengths: list[int]) -> Any:
    import torch

    return torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0)
