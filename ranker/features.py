"""FeatureTables: what is known of users and items as of each event of a batch. Training, scoring and serving fill batches here.

Shapes: T tokens, F aggregates, A attributes, N rows of a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nightrank.feature_store.as_of import Cumulative, scaled, values
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.days import days_of
from nightrank.ranker.batch import Batch

Ints = npt.NDArray[Any]
EVER: Final = "active_days_all"
"""The aggregate that is 0 for what had no event yet."""


@dataclass(frozen=True)
class AttributeCodes:
    """Codes of users' attributes, [N, A] int32, known from `known_from` [N] (microseconds) on. `users` [N] ascend."""

    users: Ints
    codes: Ints
    known_from: Ints

    def at(self, users_T: Ints, times_T: Ints) -> npt.NDArray[np.int64]:
        """[T, A]: 0 where the user has no row, or the event is older than what is known."""
        result = np.zeros((len(users_T), self.codes.shape[1]), np.int64)
        if len(self.users):
            place = np.minimum(np.searchsorted(self.users, users_T), len(self.users) - 1)
            known = (self.users[place] == users_T) & (self.known_from[place] <= times_T)
            result[known] = self.codes[place[known]]
        return result


@dataclass(frozen=True)
class FeatureTables:
    """`user` and `item` have the counters of the names in `features`, in the order of `counters_of`."""

    features: Features
    user: Cumulative | None = None
    item: Cumulative | None = None
    attributes: AttributeCodes | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """Of the tokens filled so far: all, and those of which something was known."""

    def fill(self, batch: Batch) -> Batch:
        """The batch with the inputs that `features` names: each token's as of the start of its day. A token of an unknown time
        (0) is older than everything that is known."""
        times_T = batch.times_T.cpu().numpy().astype(np.int64)
        users_T = batch.users_B[batch.row_T].cpu().numpy().astype(np.int64)
        items_T = batch.items_T.cpu().numpy().astype(np.int64)
        days_T = days_of(times_T, self.features.timezone)
        codes_TA = None if self.attributes is None else self.attributes.at(users_T, times_T)
        self._count("tokens", len(times_T))
        if codes_TA is not None:
            self._count("attributes", int((codes_TA > 0).any(axis=1).sum()))
        return replace(
            batch,
            user_inputs_TF=self._inputs("user", self.user, self.features.user, users_T, days_T),
            item_inputs_TF=self._inputs("item", self.item, self.features.item, items_T, days_T),
            attributes_TA=None if codes_TA is None else torch.from_numpy(codes_TA),
        )

    def _inputs(self, name: str, table: Cumulative | None, names: Sequence[str], entity_T: Ints, days_T: Ints) -> Tensor | None:
        """[T, F], and it is counted of how many tokens' entities there was an event before the day: by one look-up."""
        if table is None:
            return None
        found = values(table, (*names, EVER), counters_of(names), entity_T, days_T)
        self._count(name, int((found[:, -1] > 0).sum()))
        return torch.from_numpy(scaled(found[:, :-1], names))

    def _count(self, name: str, tokens: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + tokens

    def facts(self) -> dict[str, Any]:
        """The names, and of the tokens filled so far the share of which something was known."""
        names = {"user": list(self.features.user), "item": list(self.features.item)}
        named = {**names, "attributes": [each.name for each in self.features.attributes]}
        shares = {
            name: round(self.counts.get(name, 0) / max(1, self.counts.get("tokens", 0)), 4) for name in named if named[name]
        }
        return {"names": named, **({"known": shares} if "tokens" in self.counts else {})}


def coded(features: Features, of_users: Sequence[dict[str, str]]) -> npt.NDArray[np.int32]:
    """[N, A] codes of users' raw attributes; 0 where a value is missing or has no code."""
    codes = np.zeros((len(of_users), len(features.attributes)), np.int32)
    for place, attribute in enumerate(features.attributes):
        code_of = {value: code for code, value in enumerate(attribute.values, 1)}
        codes[:, place] = [code_of.get(of_user.get(attribute.name, ""), 0) for of_user in of_users]
    return codes
