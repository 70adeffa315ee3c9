"""The market's items: category, style, popularity, price and text, all drawn per day of arrival."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.pipeline.simulate.config import MarketConfig
from nightrank.pipeline.simulate.truth import ITEM_SCHEMA, Floats, Ints, TruthItems
from nightrank.pipeline.simulate.words import CATEGORIES, STYLES

ITEM_STREAM: Final = 1
FIRST_NUMBER: Final = 2**53 + 1
"""Integer ids start where a float would lose them."""
SECOND_STYLE: Final = 0.45
ZIPF: Final = 1.1
"""An item's chance falls with the power of its popularity rank inside the category."""


@dataclass(frozen=True)
class Catalogue:
    truth: TruthItems
    landing: pa.Table
    """LANDING_ITEMS, row i is item i."""
    first_of_day: tuple[int, ...]
    """Items of day d are rows [first_of_day[d], first_of_day[d + 1])."""


def category_shares() -> Floats:
    """How much of the market each category is: Zipf over the list's order."""
    shares: Floats = 1.0 / np.arange(2, len(CATEGORIES) + 2) ** 0.9
    shares /= shares.sum()
    return shares


def item_names(numbers: Ints, config: MarketConfig) -> list[str]:
    return _names(numbers, config, "i")


def user_names(numbers: Ints, config: MarketConfig) -> list[str]:
    return _names(numbers, config, "u")


def _names(numbers: Ints, config: MarketConfig, letter: str) -> list[str]:
    if config.id_type == "int64":
        return [str(FIRST_NUMBER + number) for number in numbers.tolist()]
    return [f"{letter}{number:06d}" for number in numbers.tolist()]


def build(config: MarketConfig) -> Catalogue:
    """All items of days 0 … days - 1; those of a day are the same however many days are asked for."""
    days = [_of_day(config, day) for day in range(config.days)]
    counts = [len(rows["category"]) for rows in days]
    column: dict[str, npt.NDArray[Any]] = {name: np.concatenate([rows[name] for rows in days]) for name in days[0]}
    names = item_names(np.arange(sum(counts)), config)
    arrived = np.repeat([np.datetime64(config.start + timedelta(days=day)) for day in range(config.days)], counts)
    truth = TruthItems(np.array(names, object), column["category"], column["style"], column["bias"], arrived)
    return Catalogue(truth, _landing(truth, column), tuple(np.concatenate([[0], np.cumsum(counts)]).tolist()))


def _of_day(config: MarketConfig, day: int) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng([config.seed, ITEM_STREAM, day])
    count = config.items if day == 0 else config.new_items_per_day
    category = rng.choice(len(CATEGORIES), count, p=category_shares()).astype(np.int32)
    if day == 0:  # No category may be empty: somebody cares for each.
        category[: len(CATEGORIES)] = np.arange(len(CATEGORIES))
    first = rng.integers(len(STYLES), size=count)
    second = (first + rng.integers(1, len(STYLES), size=count)) % len(STYLES)
    style = rng.normal(0.0, 0.08, (count, len(STYLES)))
    style[np.arange(count), first] += 1.0
    style[np.arange(count), second] += SECOND_STYLE
    per_category = max(2.0, config.items / len(CATEGORIES))
    rank = 1.0 + rng.random(count) * (per_category - 1.0)
    middle = np.array([entry.price for entry in CATEGORIES])[category]
    factor = np.array([entry.price_factor for entry in STYLES])[first]
    return {
        "category": category,
        "first": first,
        "second": second,
        "style": style.astype(np.float32),
        "bias": (-ZIPF * np.log(rank)).astype(np.float32),
        "price": np.round(middle * factor * np.exp(rng.normal(0.0, 0.25, count)), 2),
        "words": rng.integers(0, 1 << 16, (count, 5)),
    }


def _landing(truth: TruthItems, column: dict[str, npt.NDArray[Any]]) -> pa.Table:
    rows = [_text(*row) for row in zip(*(column[k].tolist() for k in ("category", "first", "second", "words")), strict=True)]
    born = [datetime.combine(day, datetime.min.time(), UTC) for day in truth.available_from_I.tolist()]
    arrays = {
        c.ITEM_ID: truth.item_id.tolist(),
        c.TITLE: [title for title, _ in rows],
        c.TEXT: [text for _, text in rows],
        c.CATEGORIES: [[CATEGORIES[i].name, CATEGORIES[i].group] for i in column["category"].tolist()],
        c.PRICE: column["price"].tolist(),
        c.CREATED: born,
        c.AVAILABILITY_TIME: born,
    }
    return pa.table(arrays, schema=pa.schema([schemas.LANDING_ITEMS.field(name) for name in arrays]))


def _text(category: int, first: int, second: int, words: list[int]) -> tuple[str, str]:
    """("Alpine Merino Hiking Socks", a description that says category and both styles in other words)."""
    kind, main, side = CATEGORIES[category], STYLES[first], STYLES[second]
    noun = kind.nouns[words[0] % len(kind.nouns)]
    material = kind.materials[words[1] % len(kind.materials)]
    use = kind.uses[words[2] % len(kind.uses)]
    adjective = main.adjectives[words[3] % len(main.adjectives)]
    touch = side.adjectives[words[4] % len(side.adjectives)].lower()
    other = main.adjectives[(words[3] + 1) % len(main.adjectives)].lower()
    text = f"{kind.name} for {use}: {material.lower()} {noun.lower()}, {other} in style with a {touch} touch. {main.sentence}"
    return f"{adjective} {material} {noun} for {use.title()}", text


def truth_table(items: TruthItems) -> pa.Table:
    return pa.table(
        {
            "item_id": items.item_id.tolist(),
            "category": items.category_I,
            "style": list(items.style_IS),
            "bias": items.bias_I,
            "available_from": items.available_from_I,
        },
        schema=ITEM_SCHEMA,
    )
