from typing import Any

import numpy as np
import numpy.typing as npt

def footer(path: str) -> Any:
    """The file's footer, parsed once for many row groups. OSError where it is not whole."""

def shape(footer: Any, group: int, column: str) -> tuple[int, int] | None:
    """Rows of the row group and values of the column in it; None where there is no such group, or the column is not one
    leaf."""

def read_rows(
    footer: Any,
    path: str,
    group: int,
    names: tuple[str, str, str, str, str, str, str],
    arrays: tuple[
        npt.NDArray[np.int32],
        npt.NDArray[np.int32],
        npt.NDArray[np.int32],
        npt.NDArray[np.float32],
        npt.NDArray[np.int32],
        npt.NDArray[np.int32],
        npt.NDArray[np.int8],
        npt.NDArray[np.int64],
    ],
) -> bool:
    """Reads user, n, loss_from, weight [B], items, actions and times [T] (their `names`), and fills `arrays`: the first four,
    the lists' offsets [B + 1], and the last three. False, with the arrays in any state, where a value is null, a list is empty
    or not n long, or a column has another type. OSError for what cannot be read, ValueError for arrays that do not fit each
    other."""
