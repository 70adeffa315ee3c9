"""A simulated market as arrays: who looks at what on which day, what each item is, and what the users truly prefer. No lake, no
Spark. E visits in order of user and time, U users, I items. Dense item ids are in order of arrival, from 1."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from nightrank.pipeline.simulate import catalogue, population
from nightrank.pipeline.simulate.catalogue import Catalogue
from nightrank.pipeline.simulate.config import MarketConfig
from nightrank.pipeline.simulate.population import Population
from nightrank.pipeline.simulate.sessions import visits
from nightrank.pipeline.simulate.truth import Floats, TruthUsers, true_scores
from nightrank.ranker.inputs import ItemInputs
from nightrank.spark_jobs.executor.encode import EncodeOptions, encode_tokens

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Market:
    config: MarketConfig
    goods: Catalogue
    item_E: Ints
    day_E: Ints
    offsets_U1: Ints
    """User u owns visits [offsets[u], offsets[u + 1])."""
    tastes: tuple[TruthUsers, ...]
    """Of each day."""

    def items(self, day: int) -> int:
        """How many items there are by the end of the day."""
        return self.goods.first_of_day[day + 1]

    def counts(self, day: int) -> Ints:
        """[U] visits of each user by the end of the day; all zero for day -1."""
        upto = np.concatenate([[0], np.cumsum(self.day_E <= day)])
        counts: Ints = upto[self.offsets_U1[1:]] - upto[self.offsets_U1[:-1]]
        return counts

    def preferences(self, day: int, users: Ints) -> Floats:
        """[users, I + 1] true chance of each item as the first of a session, by dense id."""
        scores = true_scores(self.goods.truth, self.tastes[day][users], self.date(day))
        return np.pad(scores, ((0, 0), (1, 0)))

    def date(self, day: int) -> date:
        return self.config.start + timedelta(days=day)


def simulated(config: MarketConfig, shock: int | None = None) -> Market:
    """The market of `nightrank simulate`, but for its logged lists and faults: one interaction a visit.

    From day `shock` on every user likes other styles: each direction of taste has moved by one.
    """
    goods, tastes, parts = catalogue.build(config), [], []
    for today in _days(config, shock):
        users = today.truth(config)
        seen = visits(config, today, users, goods.truth)
        parts.append((seen.user_V, seen.item_V + 1, np.full(len(seen.user_V), today.day), seen.second_V))
        tastes.append(users)
    user_E, item_E, day_E, second_E = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((second_E, day_E, user_E))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user_E, minlength=len(tastes[-1])))])
    return Market(config, goods, item_E[order].astype(np.int64), day_E[order].astype(np.int64), offsets, tuple(tastes))


def _days(config: MarketConfig, shock: int | None) -> Iterator[Population]:
    for today in population.days(config):
        moved = shock is not None and today.day >= shock
        yield replace(today, style_US=np.roll(today.style_US, 1, axis=1)) if moved else today


@dataclass(frozen=True)
class Content:
    """Titles and categories by dense id, row 0 zeros."""

    text: Tensor
    categories: Tensor

    def inputs(self, market: Market, day: int, *, since: int = 0) -> ItemInputs:
        """What is known by the end of the day; popularity counts the visits of days `since` to `day`."""
        rows = market.items(day) + 1
        counted = market.item_E[(market.day_E >= since) & (market.day_E <= day)]
        popularity = torch.from_numpy(np.bincount(counted, minlength=rows)[:rows]).float()
        codes = self.categories[:rows, None]
        return ItemInputs(
            rows - 1, text=self.text[:rows], category_codes=codes, categories=int(self.categories.max()), popularity=popularity
        )


def content(market: Market, encoder: str, threads: int) -> Content:
    """Titles through the text encoder that `embed_items` takes by default."""
    settings = TextSettings(encoder=encoder)
    model = text_model(settings)
    assert model is not None, "this benchmark reads titles: give an encoder"
    titles = market.goods.landing.column(c.TITLE).to_pylist()
    order = sorted(range(len(titles)), key=lambda row: len(titles[row]))
    options = EncodeOptions(str(model.folder), model.revision, settings.max_tokens, settings.batch_tokens, threads)
    found, _, _ = encode_tokens([titles[row] for row in order], options)
    text = torch.zeros(len(titles) + 1, found.shape[1])
    text[torch.tensor(order) + 1] = torch.from_numpy(found)
    kinds = torch.from_numpy(market.goods.truth.category_I.astype(np.int64)) + 1
    return Content(text, torch.cat([torch.zeros(1, dtype=torch.int64), kinds]))
