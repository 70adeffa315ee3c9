"""How an exact search is divided. A plan decides time and memory alone: any plan gives the same lists."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor

from nightrank.ranker.retrieval.tiles import BLOCK, DEPTH, GROUP, SERIAL, room_for, usable

Product = Literal["tiles", "bf16", "fp32"]
"""Of the compiled part in bf16, or of torch."""
USERS: Final = {"tiles": 4096, "bf16": 256, "fp32": 256}
"""Users whose candidates are held at once."""
CANDIDATES: Final = 1 << 23
"""Of all users that are held at once: 64 MiB."""
SPARE: Final = 16
"""Candidates beyond those that are wanted."""


@dataclass(frozen=True)
class Plan:
    """All numbers are at least 1, `spare` at least 0."""

    product: Product
    """That finds candidates first. Users of whom it cannot tell are done again by fp32, then from all exact scores."""
    user_rows: int = 256
    item_rows: int = 65_536
    """Items of a block of torch's products."""
    tile_rows: int = 16_384
    """Items of a block of the compiled part."""
    spare: int = SPARE
    chunk: int = 64
    """Items of which only the largest score is looked at first."""
    terms: int = 1 << 22
    """fp64 products of exact scores held at once: 32 MiB."""
    checked: int = SERIAL
    """Numbers looked at together for a NaN or an infinity."""

    @property
    def kind(self) -> torch.dtype:
        """Of torch's product."""
        return torch.float32 if self.product == "fp32" else torch.bfloat16

    def candidates(self, k: int) -> int:
        """Of a user, at least k."""
        return k * (1 if self.product == "fp32" else 2) + self.spare

    def by_chunks(self, width: int, count: int) -> bool:
        """Whether the `count` largest of `width` scores are looked for in chunks. Then there are more chunks than `count`."""
        return width // self.chunk > 2 * count

    def slower(self) -> "Plan":
        """For users of whom `product` cannot tell."""
        return replace(self, product="fp32")


def plan_for(items_ID: Tensor, k: int) -> Plan:
    """The fastest product that the device has, in blocks whose memory does not depend on how many users and items there are."""
    product: Product = "tiles" if usable(items_ID) else "bf16" if items_ID.is_cuda else "fp32"
    bytes_of_item = 2 * DEPTH * max(1, -(-items_ID.shape[1] // DEPTH))
    return Plan(
        product,
        user_rows=max(1, min(USERS[product], CANDIDATES // room_for(k))),
        tile_rows=max(GROUP, torch.get_num_threads() * BLOCK // bytes_of_item),
    )


def rows_holding(numbers: int, width: int) -> int:
    """As many rows of `width` as hold so many numbers, at least one."""
    return max(1, numbers // max(1, width))
