"""Candidates by the compiled part (`native/`), which multiplies in bf16 tiles (AMX) and looks at scores where they stand.

Shapes: B users, I item ids with id 0 as padding, D width, K list length.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nightrank.ranker.retrieval.rounding import bounds_of

try:
    from nightrank.ranker.retrieval import _tiles
except ImportError:  # not built here: torch's own products do
    _tiles = None  # type: ignore[assignment]
AVAILABLE: Final = _tiles is not None and _tiles.available()
"""Also asks the kernel to let this process use tiles, which must come before their first use."""

GROUP: Final = 32
"""Users of one step."""
DEPTH: Final = 32
"""bf16 numbers of a tile's row."""
STATE: Final = np.dtype([("level", "<f4"), ("error", "<f4"), ("count", "<i4"), ("sieved", "<i4"), ("limit", "<i4")])
BLOCK: Final = 1 << 21
"""Bytes of items in bf16 for each thread, which its cache holds."""
SERIAL: Final = 1 << 15
"""Numbers that torch works on in one thread."""
NEAR: Final = 256
"""Candidates beyond 2 k before a user is given up."""


@dataclass(frozen=True)
class Exclusions:
    """Ascending ids for each user, none of them outside the catalogue."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]


def usable(items_ID: Tensor) -> bool:
    """Whether the compiled part is there, can run on this machine and reads such a matrix where it stands."""
    plain = items_ID.device.type == "cpu" and items_ID.dtype == torch.float32 and items_ID.is_contiguous()
    return plain and items_ID.shape[1] > 0 and len(items_ID) < 1 << 31 and AVAILABLE


def exclusions(row: Tensor, ids: Tensor, rows: int) -> Exclusions:
    """Of pairs (row, id) in any order."""
    both = (row.numpy() << 32) | ids.numpy()
    both.sort()
    counts = np.bincount(both >> 32, minlength=rows)
    return Exclusions((both & 0xFFFFFFFF).astype(np.int32), np.concatenate([[0], counts.cumsum()]).astype(np.int64))


def tile_lists(
    users_BD: Tensor, items_ID: Tensor, k: int, excluded: Exclusions, eligible_I: Tensor | None, item_rows: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """(ids [B, k], scores [B, k], unsure [B], faulty): exact but for users that are unsure, where more candidates than there is
    room for were too near to each other. If items are faulty, hold a NaN or an infinity, nothing else is said."""
    rows, width = users_BD.shape
    threads = torch.get_num_threads()
    states = _states(rows, k)
    packed, limits = _prepared(users_BD)
    items = items_ID.detach().numpy()
    eligible = np.zeros(0, np.bool_) if eligible_I is None else eligible_I.numpy()
    candidates = (limits, excluded.ids, excluded.offsets, *states)
    faulty = 0
    for first in range(0, len(items), item_rows):
        block = slice(first, first + item_rows)
        faulty += _tiles.scan_block(*candidates, packed, items[block], eligible[block], k, width, first, threads)
    ids_BK, scores_BK = torch.zeros(rows, k, dtype=torch.int64), torch.zeros(rows, k)
    if not faulty:
        _tiles.finished(*candidates, users_BD.numpy(), items, ids_BK.numpy(), scores_BK.numpy(), k, width, threads)
    return ids_BK, scores_BK, torch.from_numpy(states[0]["count"] < 0), faulty


def _states(
    rows: int, k: int
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """(states, floors, scores, ids) of users without a candidate. A user that is not there has a floor that nothing reaches."""
    room = room_for(k)
    states = np.zeros(rows, STATE)
    states["level"] = -np.inf
    states["limit"] = min(room, 4 * k + GROUP)
    floors = np.full(-(-rows // GROUP) * GROUP, np.inf, np.float32)
    return states, floors, np.empty((rows, room), np.float32), np.empty((rows, room), np.int32)


def room_for(k: int) -> int:
    """Candidates of a user: whole registers."""
    return -(-(2 * k + NEAR) // 16) * 16


def _prepared(users_BD: Tensor) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """(`_packed`, bounds [B, 3]), made in parts so small that torch starts no threads for them."""
    packed, limits = [], []
    for users in users_BD.split(max(GROUP, SERIAL // users_BD.shape[1] // GROUP * GROUP)):
        bounds = bounds_of(users, torch.bfloat16)
        packed.append(_packed(users))
        limits.append(torch.stack([bounds.by_norm_B, bounds.by_residual_B, bounds.constant_B], 1).numpy())
    return np.concatenate(packed), np.concatenate(limits)


def _packed(users_BD: Tensor) -> npt.NDArray[np.int16]:
    """[B / 32, D / 32, 2, 16 pairs of numbers, 16 users, 2] in bf16, filled up with zeros."""
    rows, width = users_BD.shape
    groups, depths = -(-rows // GROUP), -(-width // DEPTH)
    padded = torch.zeros(groups * GROUP, depths * DEPTH, dtype=torch.bfloat16)
    padded[:rows, :width] = users_BD
    pairs = padded.view(groups, 2, 16, depths, 16, 2).permute(0, 3, 1, 4, 2, 5)
    return pairs.contiguous().view(torch.int16).numpy()
