"""ItemInputs: what is known of every item of a vocabulary before anything is learnt.

Shapes: I1 = items + 1 rows (row 0 is padding), W text width, C category slots an item, N numeric features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features


@dataclass(frozen=True)
class ItemShapes:
    """Widths of the tables a ranker holds, without their contents."""

    items: int
    text_width: int = 0
    category_slots: int = 0
    categories: int = 0
    numeric: int = 0
    users: int = 0
    features: Features | None = None
    """What is read of users and items as of each event; None: nothing."""


@dataclass(frozen=True)
class Tokens:
    """Text tokens by dense id, one item after the other; item i owns [offsets[i], offsets[i + 1]), none without a text."""

    flat: Tensor
    """[all tokens] int32, the encoder's special tokens included."""
    offsets: Tensor
    """[I1 + 1] int64."""

    def first(self, rows: int) -> "Tokens":
        return Tokens(self.flat[: int(self.offsets[rows])], self.offsets[: rows + 1])


@dataclass(frozen=True)
class ItemInputs:
    """Inputs by dense id. An item without text has a zero row; category code 0 is none."""

    items: int
    text: Tensor | None = None
    """[I1, W] fp32."""
    category_codes: Tensor | None = None
    """[I1, C] int64, codes 1..categories, 0 fills up."""
    categories: int = 0
    numeric: Tensor | None = None
    """[I1, N] fp32, normalised."""
    popularity: Tensor | None = None
    """[I1] interactions in the training rows; draws negatives and orders the list of a user without history."""
    users: int = 0
    """Users of the vocabulary: rows of a user table, where a ranker has one."""
    tokens: Tokens | None = None
    """Read where the ranker has a text encoder of its own."""
    features: Features | None = None
    """What the batches bring beside histories."""

    def __post_init__(self) -> None:
        rows = self.items + 1
        for name in ("text", "category_codes", "numeric", "popularity"):
            table = getattr(self, name)
            if table is not None and len(table) != rows:
                raise DataContractError(
                    f"item input `{name}` has {len(table)} rows where {self.items} items need {rows}",
                    "build it for ids 0..items, row 0 being padding",
                )
        if self.category_codes is not None and int(self.category_codes.max()) > self.categories:
            raise DataContractError(
                f"category code {int(self.category_codes.max())} is above the {self.categories} categories of the snapshot",
                "build the training set again",
            )

    @property
    def shapes(self) -> ItemShapes:
        return ItemShapes(
            items=self.items,
            text_width=0 if self.text is None else int(self.text.shape[1]),
            category_slots=0 if self.category_codes is None else int(self.category_codes.shape[1]),
            categories=0 if self.category_codes is None else self.categories,
            numeric=0 if self.numeric is None else int(self.numeric.shape[1]),
            users=self.users,
            features=self.features,
        )

    def popularity_or_ones(self) -> Tensor:
        """[I1] fp32, 0 for padding; 1 for every item where nothing was counted."""
        counts = torch.ones(self.items + 1) if self.popularity is None else self.popularity.float().clone()
        counts[0] = 0
        return counts


def padded_categories(codes: Sequence[Sequence[int]]) -> Tensor:
    """Lists of codes, one per id from 0, as [I1, C] filled up with 0; C is at least 1."""
    width = max([1, *(len(row) for row in codes)])
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in codes], dtype=torch.int64).reshape(len(codes), width)
