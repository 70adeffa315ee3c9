"""What a reader takes out of a file for a row group: Arrow tables here, training rows in training_rows.py.

A file's footer is parsed once, however many of its row groups are wanted. Arrow lets go of Python's lock while it reads and
decodes, so a few threads with one row group each use as many cores.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.conformance import no_row_group, unreadable


class Source(Protocol):
    """Reads single row groups, from any thread. DataContractError names a file that cannot be read."""

    @property
    def columns(self) -> Sequence[str]: ...

    def read(self, path: Path, group: int) -> Any: ...


class Tables:
    """Row groups as Arrow tables with `columns`."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._footers: dict[Path, Any] = {}

    def read(self, path: Path, group: int) -> pa.Table:
        try:
            with pq.ParquetFile(path, metadata=self._footers.get(path)) as file:
                self._footers[path] = file.metadata  # two threads may both parse it: the second is kept, and is the same
                if group >= file.num_row_groups:
                    raise no_row_group(path, group)
                return file.read_row_group(group, columns=list(self.columns), use_threads=False)
        except DataContractError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise unreadable([path], error) from None
