"""ErasedUser: under which names a user's rows are stored, and the marker that replaces them."""

import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import VOCABULARY

USER: Final = "user"
DECIMAL: Final = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True)
class ErasedUser:
    """`names`: the id as it is in landing files and, where ids are hashed at ingest, its hash. `integer`: `007` is `7` too."""

    names: tuple[str, ...]
    marker: str
    integer: bool = False
    dense: int | None = None
    """The id in the vocabulary; None where the user is not in it."""

    @property
    def number(self) -> int | None:
        """The id as a number, for columns of whole numbers."""
        return int(self.names[0]) if DECIMAL.fullmatch(self.names[0]) else None

    def is_in(self, column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
        """True where a cell of text is exactly one of the names. Null cells are False."""
        text = column.cast(pa.string())
        found = pc.is_in(text, value_set=pa.array(self.names, pa.string()))
        if self.integer and self.number is not None:
            sign, digits = ("-" if self.number < 0 else ""), abs(self.number)
            found = pc.or_(found, pc.match_substring_regex(text, f"^{sign}0*{digits}$"))
        return pc.fill_null(found, False)


def decimal(user_id: str, *, integer: bool) -> str:
    """The one form of an id: in a lake of whole numbers `007` and `7` are the same user."""
    return str(int(user_id)) if integer and DECIMAL.fullmatch(user_id) else user_id


def dense_id(lake: Lake, user: ErasedUser) -> int | None:
    """From whatever file of the vocabulary's table knows the user, or his marker: an erasure may have been cut off."""
    names = pa.array([*user.names, user.marker], pa.string())
    for place, _ in lake.table(VOCABULARY.name).walk():
        if place.suffix == ".parquet" and "_delta_log" not in place.key:
            with place.open() as handle:
                table = pq.read_table(handle, columns=[c.KIND, c.RAW_ID, c.DENSE_ID])
            mine = pc.and_(pc.equal(table[c.KIND], USER), pc.is_in(table[c.RAW_ID], value_set=names))
            found = table.filter(mine)[c.DENSE_ID].to_pylist()
            if found:
                return int(found[0])
    return None
