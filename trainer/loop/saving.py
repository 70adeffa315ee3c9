"""What one worker holds while it trains, and how that is saved."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor, nn

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import Moved
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.trainer.config.job import Job
from nightrank.trainer.loop.checkpoint import CheckpointFolder, running_name
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.stored import MODEL, OPTIMIZER, named
from nightrank.trainer.loop.table import TrainedTable
from nightrank.trainer.loop.writer import Writer
from nightrank.trainer.ranks.communicator import Communicator, broadcast_object, run_on_all_ranks
from nightrank.trainer.ranks.device import Device
from nightrank.trainer.ranks.watchdog import Progress

KNOWN.update({"train.checkpoint.before", "train.checkpoint.after", "train.bundle.before", "train.bundle.after"})

SAVING: Final = "saving a checkpoint"


@dataclass(kw_only=True)
class Saved:
    """Model, optimizer and state are the same on every rank at every step, and rank 0 alone writes; but for the rows of a table
    that ranks share out, of which each writes and reads its own."""

    job: Job
    communicator: Communicator
    progress: Progress
    device: Device
    snapshot: DatasetSnapshot
    ranker: nn.Module
    optimizer: AdamW
    state: TrainState
    table: TrainedTable | None = None
    """The table of item ids where it is held or exchanged by row."""
    writer: Writer = field(default_factory=Writer)
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_step: int = -1

    def __post_init__(self) -> None:
        if self.table is not None:
            self.table.wants_to_save = lambda: self._is_due(ahead=1)

    @property
    def folder(self) -> CheckpointFolder:
        return self._folder(self._moved)

    def _folder(self, moved: Moved) -> CheckpointFolder:
        return CheckpointFolder(self.job.checkpoints, self.job.config.checkpoint.keep_last, moved, self._commit)

    def _commit(self) -> AbstractContextManager[None]:
        return fences.commit(self.job.lake, self.job.run_id, self.job.fence)

    @property
    def shares(self) -> int:
        """Into which the rows of a step are cut."""
        return self.communicator.size

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be resumed."""
        raise NotImplementedError

    def save_running(self, beside: bool = False) -> None:
        """The checkpoint to resume from is on disk when rank 0 returns. `beside`: it is written while the training goes on,
        unless a table is held by row; what that raises is raised by a later call."""
        self._saved_at, self._saved_step = time.monotonic(), self.state.total_steps
        self.finish_writing()
        name = running_name(self.state)
        if not beside or not self.job.config.checkpoint.in_background or self.table is not None:
            self._written(name, lambda *saved: self.folder.save_running(self.state, *saved), points=True)
        elif self.communicator.rank == 0:
            self._write_beside()

    def _write_beside(self) -> None:
        """Starts to write what all ranks hold now."""
        state, facts, folder = self.state.model_copy(deep=True), self.facts, self._folder(self.writer.moved)
        model = {MODEL + name: value for name, value in self._of_all_ranks().items()}
        optimizer = {OPTIMIZER + name: value for name, value in self._optimizer_state().items()}
        copies = self.writer.copied(model | optimizer)

        def write() -> None:
            failpoint("train.checkpoint.before")
            folder.save_running(state, named(copies, MODEL), named(copies, OPTIMIZER), facts)
            failpoint("train.checkpoint.after")

        self.writer.start(write)

    def save_if_due(self) -> None:
        """Every this many steps or seconds, where ranks are equal. Rank 0's clock decides: no rank waits where it alone writes,
        and where all write they know from the step. What an earlier write raised is raised."""
        self.writer.check()
        if self.optimizer.apart:
            return
        due = self.table.due if self.table is not None and self.table.shared else self._is_due()
        if due:
            self.save_running(beside=True)

    def _is_due(self, ahead: int = 0) -> bool:
        """Now, or `ahead` steps from now."""
        config = self.job.config.checkpoint
        steps = self.state.total_steps + ahead - max(self._saved_step, 0)
        by_steps = config.every_steps is not None and steps >= config.every_steps
        return by_steps or time.monotonic() - self._saved_at >= config.every_seconds

    def finish_writing(self) -> None:
        """No checkpoint is being written afterwards; what that raised is raised."""
        self.writer.finish(self._moved)

    def save_as(self, name: str) -> None:
        self.finish_writing()
        self._written(name, lambda *saved: self.folder.save(name, self.state, *saved))

    def _written(self, name: str, save: Callable[..., None], points: bool = False) -> None:
        """Rank 0 writes what all ranks hold, and each rank that holds rows of its own a file; rank 0's last one makes them
        count."""
        shared = self.table is not None and self.table.shared
        shards = self._own_rows(name) if shared else []

        def write() -> None:
            if points:
                failpoint("train.checkpoint.before")
            with self.progress.during(SAVING):
                save(self._of_all_ranks(), self._optimizer_state(), self.facts, shards)
            if points:
                failpoint("train.checkpoint.after")

        if shared:
            broadcast_object(self.communicator, write)
        elif self.communicator.rank == 0:
            write()

    def _own_rows(self, name: str) -> list[dict[str, str]]:
        """Every rank has written its rows; the files by rank."""
        assert self.table is not None
        rows = self.table.own_rows()
        with self.progress.during(SAVING):
            mine = run_on_all_ranks(self.communicator, lambda: self.folder.write_file(name, self.state, rows))
        return self.communicator.gather(mine.to_json())

    def _of_all_ranks(self) -> dict[str, Tensor]:
        """The weights that every rank holds."""
        state: dict[str, Tensor] = self.ranker.state_dict()
        return state if self.table is None else self.table.of_every_rank(state)

    def _optimizer_state(self) -> dict[str, Tensor]:
        """What rank 0 knows of the optimizer's state."""
        if self.table is None:
            return self.optimizer.tensors()
        return self.table.of_one_rank({**self.optimizer.tensors(), **self.table.state})

    def _moved(self) -> None:
        self.progress.moved(self.progress.doing)
