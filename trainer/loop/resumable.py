"""What one worker holds while it trains, and how that is saved, restored and told to the other ranks."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.trainer.config.job import Job
from nightrank.trainer.loop.checkpoint import CheckpointFolder, running_name
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.stored import Checkpoint
from nightrank.trainer.loop.table import TrainedTable
from nightrank.trainer.ranks.communicator import Communicator, broadcast_object, run_on_all_ranks
from nightrank.trainer.ranks.device import Device
from nightrank.trainer.ranks.watchdog import Progress

KNOWN.update({"train.checkpoint.before", "train.checkpoint.after", "train.bundle.before", "train.bundle.after"})

SAVING: Final = "saving a checkpoint"


@dataclass(kw_only=True)
class Resumable:
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
    any_world_size: ClassVar[bool] = False
    """A checkpoint of another number of ranks is resumed, from the start of the epoch under way."""
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_step: int = -1

    def __post_init__(self) -> None:
        if self.table is not None:
            self.table.wants_to_save = lambda: self._is_due(ahead=1)

    @property
    def folder(self) -> CheckpointFolder:
        return CheckpointFolder(self.job.checkpoints, self.job.config.checkpoint.keep_last, self._moved, self._commit)

    def _commit(self) -> AbstractContextManager[None]:
        return fences.commit(self.job.lake, self.job.run_id, self.job.fence)

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be resumed."""
        raise NotImplementedError

    def save_running(self) -> None:
        """The checkpoint to resume from is on disk when rank 0 returns."""
        self._saved_at, self._saved_step = time.monotonic(), self.state.total_steps
        self._written(running_name(self.state), lambda *saved: self.folder.save_running(self.state, *saved), points=True)

    def save_if_due(self) -> None:
        """Every this many steps or seconds, where ranks are equal. Rank 0's clock decides: no rank waits where it alone writes,
        and where all write they know from the step."""
        if self.optimizer.apart:
            return
        due = self.table.due if self.table is not None and self.table.shared else self._is_due()
        if due:
            self.save_running()

    def _is_due(self, ahead: int = 0) -> bool:
        """Now, or `ahead` steps from now."""
        config = self.job.config.checkpoint
        steps = self.state.total_steps + ahead - max(self._saved_step, 0)
        by_steps = config.every_steps is not None and steps >= config.every_steps
        return by_steps or time.monotonic() - self._saved_at >= config.every_seconds

    def save_as(self, name: str) -> None:
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

    def resume(self, name: str | None) -> bool:
        """Continues from the newest whole checkpoint, or takes the weights and moments of the named one; false where there
        is none. Rank 0 reads, the others receive it; rows that ranks share out each reads by itself. A checkpoint of other data
        or settings is skipped with a note."""
        loaded: list[Checkpoint] = []

        def read() -> dict[str, Any] | None:
            found = self.folder.load(name) if name else self._newest()
            if found is None:
                return None
            loaded.append(self._for_rank_0(found))
            state = found.state.model_dump(mode="json")
            optimizer = _shapes(loaded[0].optimizer)
            return {"state": state, "optimizer": optimizer, "files": found.file_names, "ranks": found.facts.get("world_size")}

        told = broadcast_object(self.communicator, read)
        if told is None:
            return False
        if loaded:
            self._load_weights(loaded[0].model)
        self.share(loaded[0].optimizer if loaded else _zeros(told["optimizer"]))
        self._read_rows(told["files"])
        if name is None:
            self.state = TrainState.model_validate(told["state"]).moved(told["ranks"], self.communicator.size)
            self._saved_step = self.state.total_steps
        return True

    def _for_rank_0(self, found: Checkpoint) -> Checkpoint:
        """Without the rows that ranks share out, or with all of them."""
        if self.table is None or not self.table.shared:
            return found.whole()
        return replace(found, model=self.table.of_every_rank(found.model), optimizer=self.table.of_one_rank(found.optimizer))

    def _load_weights(self, weights: Mapping[str, Tensor]) -> None:
        own = self.ranker.state_dict()
        assert weights.keys() == self._of_all_ranks().keys(), "the checkpoint is of another model"
        with torch.no_grad():
            for name, value in weights.items():
                own[name].copy_(value)

    def _read_rows(self, files: Sequence[str]) -> None:
        if self.table is not None and self.table.shared:
            table = self.table
            with self.progress.during("reading a checkpoint"):
                run_on_all_ranks(self.communicator, lambda: table.read(self.folder.files(files)))

    def share(self, moments: dict[str, Tensor]) -> None:
        """Every rank has rank 0's weights and moments afterwards, but for rows that ranks share out. `moments` has the same
        names and shapes on all."""
        moments = {key: value.to(self.device.torch_device, torch.float32) for key, value in moments.items()}
        self.communicator.broadcast([*self._of_all_ranks().values(), *moments.values()])
        self.optimizer.load(moments)
        if self.table is not None:
            self.table.load(moments)

    def _moved(self) -> None:
        self.progress.moved(self.progress.doing)

    def _newest(self) -> Checkpoint | None:
        """Those of other data or settings are removed: theirs may have more steps, and would hide the ones to come."""
        while (found := self.folder.newest()) is not None and (different := self._different(found.facts)):
            log.info(f"checkpoint {found.name} skipped: it was made with another {', '.join(different)}")
            self.folder.remove(found.name)
        return found

    def _different(self, facts: Mapping[str, Any]) -> list[str]:
        """Facts in which a checkpoint is of another training."""
        free = {"world_size"} if self.any_world_size else set()
        return sorted(key for key in (self.facts.keys() | facts.keys()) - free if facts.get(key) != self.facts.get(key))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in tensors.items()}


def _zeros(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    return {key: torch.zeros(shape) for key, shape in shapes.items()}
