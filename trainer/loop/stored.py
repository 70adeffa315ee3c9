"""A checkpoint as it was read, and the names that tensors have in its files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from nightrank.ranker.tables.row_files import RowFiles
from nightrank.ranker.tables.rows import Rows
from nightrank.trainer.loop.state import TrainState

MODEL, OPTIMIZER = "model.", "optimizer."


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint. Tensors are on the CPU, mapped from the file: an unused tensor takes no memory."""

    name: str
    state: TrainState
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    facts: dict[str, Any]
    """What it belongs to: snapshot, configuration, lineage, number of items."""
    files: RowFiles
    """Where tables are read by row: the files of all ranks, or the one file, with all names as they are stored."""
    file_names: tuple[str, ...]
    """Of `files`, in the checkpoint's folder."""
    is_shared: bool = False
    """Rows of a table are in the files of all ranks: `model` and `optimizer` are without them."""

    def whole(self) -> "Checkpoint":
        """The same with every table whole, in memory."""
        if not self.is_shared:
            return self
        parts = {name: self.files.rows(name, Rows(self.files.total(name))) for name in self.files.names()}
        model, optimizer = self.model | named(parts, MODEL), self.optimizer | named(parts, OPTIMIZER)
        return replace(self, is_shared=False, model=model, optimizer=optimizer)


@dataclass(frozen=True)
class Written:
    """A file of tensors that does not count yet."""

    name: str
    sha256: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
