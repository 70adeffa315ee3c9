import numpy as np
import numpy.typing as npt

def assigned(
    batch_of_place: npt.NDArray[np.int32],
    tokens: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int32],
    sizes: npt.NDArray[np.int64],
    batch_of_bucket: npt.NDArray[np.int64],
    seed: int,
) -> None:
    """`sorted_by_length` cut into buckets of `sizes`: fills `batch_of_place` [N] with the batch of each place's bucket and adds
    the lengths of each batch to `tokens` [batches]. ValueError for a length below 0 and for sizes that are not N together."""

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

def scatter_rows(place: npt.NDArray[np.int64], batch_of_row: npt.NDArray[np.int32], cursors: npt.NDArray[np.int64]) -> None:
    """Writes each row of the row group at `place` (`Rows.place`) to the end of its batch, rows of batch -1 to none, and moves
    `cursors` [batches, CURSOR] on. IndexError naming the first row that has no such batch, no room in it, or tokens outside."""
