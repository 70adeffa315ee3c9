import numpy as np
import numpy.typing as npt

def gather_rows(
    places: npt.NDArray[np.int64],
    index: npt.NDArray[np.int64],
    items_T: npt.NDArray[np.int64],
    actions_T: npt.NDArray[np.int64],
    times_T: npt.NDArray[np.int64],
    loss_from_B: npt.NDArray[np.int64],
    users_B: npt.NDArray[np.int64],
    weight_B: npt.NDArray[np.float32],
) -> None:
    """Fills the last six with the rows at `index` [B], part << 32 | row, of the parts whose `Rows.places` are `places`, one a
    line. ValueError for arrays of sizes that do not fit one another; IndexError for a row that its part does not have, or
    tokens that do not fill `items_T`; the last six are undefined then."""

def heads_of(
    heads: npt.NDArray[np.void],
    offsets: npt.NDArray[np.int32],
    offsets_of_actions: npt.NDArray[np.int32],
    offsets_of_times: npt.NDArray[np.int32],
    stated: npt.NDArray[np.int32],
    loss_from: npt.NDArray[np.int32],
    users: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
    items: npt.NDArray[np.int32],
) -> tuple[bool, int, int]:
    """Fills `heads` [B + 1] and says whether the three offsets [B + 1] are the same, every list as long as `stated` and every
    `loss_from` inside it; and the least and greatest of `items`, 1 and 1 of none. ValueError for sizes that do not fit."""

def permutation(out: npt.NDArray[np.int64], seed: int) -> None:
    """Fills `out` [N] with 0 .. N - 1 in a random order that is a function of N and the seed's lower 64 bits."""

def sorted_by_length(out: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32], seed: int) -> None:
    """Fills `out` [N] with the places of `lengths` from the shortest to the longest, equal ones in a random order. ValueError
    for a length below 0."""
