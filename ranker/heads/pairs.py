"""What heads that score pair by pair have in common.

Shapes: S states, M items, T tokens, N ids, d width, h hidden.
"""

from typing import Final

import torch
from torch import Tensor, nn

ROWS: Final = 4
"""States that are held against a tile of the catalogue at once."""
VALUES: Final = {"cpu": 262_144}
"""Hidden values of a tile: 1 MiB, what a core keeps near. Eight million elsewhere."""
ELSEWHERE: Final = 8_000_000


class PairHead(nn.Module):
    """Both sides are mapped once, to h numbers each; `pair` makes a score of two of them, broadcasting."""

    keeps_inputs = False
    """`catalogue` does not hold the item vectors as the encoder reads them."""
    values_a_pair = 1
    """Hidden values a pair takes, in multiples of h."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        """Columns of `query` and `catalogue`."""
        self.of_user = nn.Linear(width, hidden)
        self.of_item = nn.Linear(width, hidden, bias=False)

    def pair(self, users: Tensor, items: Tensor) -> Tensor:
        """[...] fp32 of [..., h] and [..., h]."""
        raise NotImplementedError

    def user(self, states_Td: Tensor) -> Tensor:
        """[T, h]."""
        result: Tensor = self.of_user(states_Td)
        return result

    def item(self, vectors_Nd: Tensor) -> Tensor:
        """[N, h]."""
        result: Tensor = self.of_item(vectors_Nd)
        return result

    def own(self, users_Sh: Tensor, items_Sh: Tensor) -> Tensor:
        """[S] fp32: each state with its own item."""
        return self.pair(users_Sh, items_Sh)

    def every(self, users_Sh: Tensor, items_Mh: Tensor) -> Tensor:
        """[S, M] fp32: each state with every item."""
        return self.pair(users_Sh[:, None, :], items_Mh[None, :, :])

    def query(self, states_Td: Tensor) -> Tensor:
        """[T, h]: what is held against `catalogue`."""
        return self.user(states_Td)

    def catalogue(self, vectors_Nd: Tensor, bias_N: Tensor | None) -> Tensor:
        return self.item(vectors_Nd)

    def scores(self, queries_Bh: Tensor, catalogue_Ih: Tensor) -> Tensor:
        """[B, I] fp32, a few rows against a tile of the catalogue at a time."""
        held = VALUES.get(queries_Bh.device.type, ELSEWHERE)
        tile = max(1, held // (ROWS * self.width * self.values_a_pair))
        result_BI = torch.empty(len(queries_Bh), len(catalogue_Ih), device=queries_Bh.device)
        for row in range(0, len(queries_Bh), ROWS):
            for item in range(0, len(catalogue_Ih), tile):
                found = self.every(queries_Bh[row : row + ROWS], catalogue_Ih[item : item + tile])
                result_BI[row : row + ROWS, item : item + tile] = found
        return result_BI
