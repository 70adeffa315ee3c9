"""Item vectors of length 1: their products are cosines.

Shapes: I1 = items + 1 (row 0 is zeros), D width.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

UnitVectors = NDArray[np.float32]


def unit_vectors(matrix_ID: NDArray[np.floating[Any]]) -> UnitVectors:
    """[I1, D] fp32: each row divided by its length; a row of zeros stays one, and so does row 0 whatever it held."""
    matrix = np.array(matrix_ID, dtype=np.float32)
    matrix[0] = 0
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    result: UnitVectors = matrix / np.where(length > 0, length, 1)
    return result
