"""Training rows as flat numpy arrays: no Python loop ever runs over rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nightrank.trainer.data.compiled import heads_of
from nightrank.trainer.data.plan import Indices

HEAD: Final = np.dtype([("offset", np.int32), ("user", np.int32), ("loss_from", np.int32), ("weight", np.float32)])
"""What there is of a row beside its tokens, laid together."""

Array = npt.NDArray[Any]


class Columns(NamedTuple):
    """[B] each: what there is of rows beside their tokens. `stated` is n."""

    users: Array
    loss_from: Array
    weight: Array
    stated: Array


class Tokens(NamedTuple):
    """[T] each, one row after the other, in the files' widths."""

    items: Array
    actions: Array
    times: Array


@dataclass(frozen=True)
class Rows:
    """B rows over T tokens. Row b owns tokens [offset of head b, offset of head b + 1)."""

    heads: Array
    """[B + 1] HEAD; of the last only the offset counts."""
    lengths: Array
    tokens: Tokens
    span: tuple[int, int]
    """The least and the greatest item id."""

    @classmethod
    def of(cls, columns: Columns, offsets: Sequence[Array], tokens: Tokens) -> "Rows | None":
        """None where offsets [B + 1] of items, actions and times differ, where a list is not as long as stated, or where
        loss_from is not inside it. TypeError for widths that are not the files'."""
        for name, values, kind in zip(Tokens._fields, tokens, (np.int32, np.int8, np.int64), strict=True):
            if values.dtype != kind or not values.flags.c_contiguous:
                raise TypeError(f"{name} is {values.dtype}, not {np.dtype(kind)} in one piece")
        users, loss_from, stated = map(_whole, (columns.users, columns.loss_from, columns.stated))
        heads = np.empty(len(users) + 1, HEAD)
        weight = np.ascontiguousarray(columns.weight, np.float32)
        first, second, third = map(_whole, offsets)
        fine, low, high = heads_of(heads, first, second, third, stated, loss_from, users, weight, tokens.items)
        return cls(heads, stated, tokens, (low, high)) if fine else None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def place(self) -> Indices:
        """[6] where each array is in memory, rows, tokens: what `scatter_rows` reads. True while the rows live."""
        return np.array([*map(address_of, (self.heads, *self.tokens)), len(self), len(self.tokens.items)], np.int64)


def offsets_of(lengths: Array) -> Indices:
    """[B + 1] offsets of lists laid end to end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def token_index(starts: Indices, lengths: Indices) -> Indices:
    """Where the tokens of the lists are in the flat array, list after list."""
    offsets = offsets_of(lengths)
    index: Indices = np.repeat(starts - offsets[:-1], lengths)
    index += np.arange(offsets[-1])
    return index


def address_of(values: Array) -> int:
    """Where the array's first value is in memory."""
    address: int = values.__array_interface__["data"][0]
    return address


def _whole(values: Array) -> npt.NDArray[np.int32]:
    return np.ascontiguousarray(values, np.int32)
