"""The words of the market's catalogue: a title or description tells its category and its style to anyone who can read."""

from pathlib import Path
from typing import Any

import yaml

from nightrank.feature_store.contracts.config import FrozenConfig


class CategoryWords(FrozenConfig):
    name: str
    group: str
    price: float
    """Middle of the category's prices."""
    nouns: tuple[str, ...]
    materials: tuple[str, ...]
    uses: tuple[str, ...]


class StyleWords(FrozenConfig):
    name: str
    price_factor: float
    adjectives: tuple[str, ...]
    sentence: str


def _load() -> tuple[tuple[CategoryWords, ...], tuple[StyleWords, ...]]:
    tree: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
    return tuple(map(CategoryWords.model_validate, tree["categories"])), tuple(map(StyleWords.model_validate, tree["styles"]))


CATEGORIES, STYLES = _load()
