"""How often each value of a column comes, over batches: what is held is one row a distinct value."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

LOOSE: Final = 2_000_000
"""Rows that wait before counts of several batches are merged."""


class Tally:
    """Counts by the values of one or several columns. Rows with a null among them are not counted."""

    def __init__(self, *columns: str) -> None:
        self.columns = list(columns)
        self._parts: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        whole = rows.select(self.columns).drop_null()
        if not len(whole):
            return
        part = _renamed(whole.group_by(self.columns).aggregate([([], "count_all")]), "count_all")
        self._parts.append(part)
        self._rows += len(part)
        if self._rows > LOOSE:
            self._merge()

    def table(self) -> pa.Table | None:
        """The columns and `n`; None where nothing was counted."""
        self._merge()
        return self._parts[0] if self._parts else None

    def top(self, most: int) -> dict[str, int]:
        """The most frequent values of the one column, most frequent first; ties in order of the value."""
        table = self.table()
        if table is None:
            return {}
        (column,) = self.columns
        order = pc.sort_indices(table, [("n", "descending"), (column, "ascending")])[:most]
        chosen = table.take(order)
        return dict(zip(chosen.column(column).to_pylist(), chosen.column("n").to_pylist(), strict=True))

    def _merge(self) -> None:
        if len(self._parts) > 1:
            merged = pa.concat_tables(self._parts).group_by(self.columns).aggregate([("n", "sum")])
            self._parts = [_renamed(merged, "n_sum")]
        self._rows = 0


def _renamed(table: pa.Table, count: str) -> pa.Table:
    return table.rename_columns(["n" if name == count else name for name in table.column_names])
