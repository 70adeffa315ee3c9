"""Training: what one worker holds while it trains, and how that is saved, restored and told to the other ranks."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.ranker.features import FeatureTables
from nightrank.ranker.model import Ranker
from nightrank.trainer.config.job import Job
from nightrank.trainer.data.plan import REVISION
from nightrank.trainer.loop.checkpoint import Checkpoint, CheckpointFolder
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.ranks.communicator import Communicator, broadcast_object
from nightrank.trainer.ranks.device import Device
from nightrank.trainer.ranks.watchdog import Progress

KNOWN.update({"train.checkpoint.before", "train.checkpoint.after", "train.bundle.before", "train.bundle.after"})

SAVING: Final = "saving a checkpoint"


@dataclass(kw_only=True)
class Resumable:
    """Model, optimizer and state are the same on every rank at every step; rank 0 alone writes."""

    job: Job
    communicator: Communicator
    progress: Progress
    device: Device
    snapshot: DatasetSnapshot
    ranker: nn.Module
    optimizer: AdamW
    state: TrainState
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_step: int = -1

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
        if self.communicator.rank == 0:
            failpoint("train.checkpoint.before")
            with self.progress.during(SAVING):
                self.folder.save_running(self.state, self.ranker.state_dict(), self.optimizer.tensors(), self.facts)
            failpoint("train.checkpoint.after")

    def save_if_due(self) -> None:
        """Every this many steps or seconds, where ranks are equal. Only rank 0 writes and no rank waits: its clock decides."""
        if self.optimizer.apart:
            return
        config = self.job.config.checkpoint
        steps = self.state.total_steps - max(self._saved_step, 0)
        by_steps = config.every_steps is not None and steps >= config.every_steps
        if by_steps or time.monotonic() - self._saved_at >= config.every_seconds:
            self.save_running()

    def save_as(self, name: str) -> None:
        if self.communicator.rank == 0:
            with self.progress.during(SAVING):
                self.folder.save(name, self.state, self.ranker.state_dict(), self.optimizer.tensors(), self.facts)

    def resume(self, name: str | None) -> bool:
        """Continues from the newest whole checkpoint, or takes the weights and moments of the named one; false where there
        is none. Rank 0 reads, the others receive it. A checkpoint of other data or settings is skipped with a note."""
        loaded: list[Checkpoint] = []

        def read() -> dict[str, Any] | None:
            found = self.folder.load(name) if name else self._newest()
            loaded.extend([found] if found else [])
            return (
                None if found is None else {"state": found.state.model_dump(mode="json"), "optimizer": _shapes(found.optimizer)}
            )

        told = broadcast_object(self.communicator, read)
        if told is None:
            return False
        if loaded:
            self.ranker.load_state_dict(loaded[0].model)
        moments = loaded[0].optimizer if loaded else _zeros(told["optimizer"])
        self.share(moments)
        if name is None:
            self.state = TrainState.model_validate(told["state"])
            self._saved_step = self.state.total_steps
        return True

    def share(self, moments: dict[str, Tensor]) -> None:
        """Every rank has rank 0's weights and moments afterwards. `moments` has the same names and shapes on all."""
        moments = {key: value.to(self.device.torch_device, torch.float32) for key, value in moments.items()}
        self.communicator.broadcast([*self.ranker.state_dict().values(), *moments.values()])
        self.optimizer.load(moments)

    def _moved(self) -> None:
        self.progress.moved(self.progress.doing)

    def _newest(self) -> Checkpoint | None:
        """Those of other data or settings are removed: theirs may have more steps, and would hide the ones to come."""
        while (found := self.folder.newest()) is not None and found.facts != self.facts:
            different = sorted(key for key in self.facts if found.facts.get(key) != self.facts[key])
            log.info(f"checkpoint {found.name} skipped: it was made with another {', '.join(different)}")
            self.folder.remove(found.name)
        return found


@dataclass(kw_only=True)
class Training(Resumable):
    """A ranker of sequences with what its items are described by."""

    ranker: Ranker
    lineage: str
    features: FeatureTables | None = None
    """What batches are filled from; None where the ranker reads nothing beside histories."""
    champion_items: int = 0
    """A night's champion knows the ids 1 to this one."""

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "snapshot": self.snapshot.id,
            "items": self.snapshot.items,
            "lineage": self.lineage,
            "seed": self.job.seed,
            "world_size": self.communicator.size,
            "row_order": REVISION,
            "config": self.job.config.model_dump(mode="json", include=WHAT_THE_CURVE_DEPENDS_ON),
        }


WHAT_THE_CURVE_DEPENDS_ON = {
    "batch_rows",
    "micro_batch_tokens",
    "precision",
    "model",
    "loss",
    "optimizer",
    "slowmo",
    "fit",
    "refit",
    "night",
    "validation",
}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in tensors.items()}


def _zeros(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    return {key: torch.zeros(shape) for key, shape in shapes.items()}


def check_rows(wanted: int, read: list[int], where: str) -> None:
    """DataContractError if the rows read over all ranks are not those of the epoch."""
    if sum(read) != wanted:
        raise DataContractError(
            f"{where}: {sum(read)} rows were read (by rank: {read}) of {wanted}", "run `nightrank verify` on the snapshot"
        )
