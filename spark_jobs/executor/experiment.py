"""Experiments inside executors: each user's arm, and the item that is drawn for one place of the list.

Shapes: C candidates.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nightrank.experiments.assignment import point, variant
from nightrank.experiments.slot_policy import by_order, draw, probabilities
from nightrank.feature_store.contracts.experiment_settings import ExploreSettings
from nightrank.spark_jobs.executor.list_rows import Drawn, Listed
from nightrank.spark_jobs.executor.rerank import RerankRules

FEW: Final = 2
"""Of fewer candidates nothing is drawn."""


class ExperimentRules(NamedTuple):
    name: str
    shares: Mapping[str, float]
    rerank: Mapping[str, RerankRules | None]
    """By arm."""
    explore: ExploreSettings | None
    night: str
    """Draws differ between nights, and a night that is repeated draws the same."""

    def depth(self, k: int) -> int:
        """So many places the ranking gives, for the drawn one to choose from."""
        return k if self.explore is None else max(k, self.explore.place - 1 + self.explore.candidates)


def arms(rules: ExperimentRules | None, user_ids: list[str], rows: list[int]) -> Iterator[tuple[str | None, list[int]]]:
    """(arm, its rows among `rows`); all rows in no arm where there is no experiment."""
    if rules is None:
        yield None, rows
        return
    by_arm: dict[str, list[int]] = {name: [] for name in rules.shares}
    for row in rows:
        by_arm[variant(rules.name, user_ids[row], rules.shares)].append(row)
    yield from ((name, found) for name, found in by_arm.items() if found)


def explored(listed: Listed, user_id: str, rules: ExperimentRules, k: int) -> Listed:
    """The list of k places of a longer one: the item of place `explore.place` is drawn from the candidates that follow the
    places before it, and the others keep their order behind it. Items that only fill a list are no candidates."""
    explore = rules.explore
    fixed = 0 if explore is None else explore.place - 1
    pool = np.array([item for item in listed.ids[fixed:].tolist() if item not in listed.fillers], dtype=np.int64)
    if explore is None or len(pool) < FEW or len(listed.ids) <= fixed:
        return listed._replace(ids=listed.ids[:k], scores=listed.scores[:k])
    pool = pool[: explore.candidates]
    chances_C = probabilities(by_order(np.ones((1, len(pool)), dtype=bool)), explore.temperature, explore.uniform)
    at = point(f"{rules.name}/{rules.night}", user_id)
    chosen = int(draw(chances_C, np.array([at]))[0][0])
    order = _moved_up(listed.ids, fixed, int(pool[chosen]))
    place_of = {item: place for place, item in enumerate(listed.ids.tolist())}
    drawn = Drawn(explore.place, chosen, pool, listed.scores[[place_of[item] for item in pool.tolist()]], chances_C[0])
    return listed._replace(ids=listed.ids[order][:k], scores=listed.scores[order][:k], drawn=drawn)


def _moved_up(ids: npt.NDArray[np.int64], place: int, item: int) -> npt.NDArray[Any]:
    """The order in which that item stands at `place` (from 0), and all others as before."""
    at = int(np.flatnonzero(ids == item)[0])
    others = np.delete(np.arange(len(ids)), at)
    return np.insert(others, place, at)
