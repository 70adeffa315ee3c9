from typing import Any

import numpy as np
import numpy.typing as npt

def available() -> bool:
    """Whether processor and kernel give this process bf16 tiles (AMX), and bf16 and 512-bit registers beside them."""

def scan_block(
    bounds: npt.NDArray[np.float32],
    excluded: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    states: npt.NDArray[np.void],
    floors: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    ids: npt.NDArray[np.int32],
    packed: npt.NDArray[np.int16],
    items: npt.NDArray[np.float32],
    eligible: npt.NDArray[Any],
    k: int,
    width: int,
    first: int,
    threads: int,
) -> int:
    """Takes the candidates among `items` [T, width], whose ids begin with `first`, into `states` [B], `floors` [B rounded up to
    32], `scores` and `ids` [B, room], room a multiple of 16 above k. `bounds` [B, 3] are those of `rounding.Bounds`. `excluded`
    is ascending for each user. `packed` are the users in bf16, zeros for those that are not there: [B / 32, width / 32, 2, 16
    pairs of numbers, 16 users, 2], all rounded up. `eligible` [T] of one byte, or of none: all. Id 0 is never a candidate.
    Returns how many items hold a NaN or an infinity; where there are some, nothing is taken. ValueError for sizes that do not
    fit."""

def finished(
    bounds: npt.NDArray[np.float32],
    excluded: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    states: npt.NDArray[np.void],
    floors: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    ids: npt.NDArray[np.int32],
    users: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    listed: npt.NDArray[np.int64],
    best: npt.NDArray[np.float32],
    k: int,
    width: int,
    threads: int,
) -> None:
    """Fills `listed` and `best` [B, k] with the k best candidates by `exact.exact_scores`, best first, equal scores by id, then
    id 0 with -inf, for the users whose state's count is not below 0. `items` are all of the catalogue. ValueError for sizes
    that do not fit."""
