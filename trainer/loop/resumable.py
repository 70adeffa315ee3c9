"""How what a worker holds while it trains is restored and told to the other ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from nightrank.feature_store.contracts.logs import log
from nightrank.trainer.loop.saving import Saved
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.stored import Checkpoint
from nightrank.trainer.ranks.communicator import broadcast_object, run_on_all_ranks


@dataclass(kw_only=True)
class Resumable(Saved):
    """Goes on from what was saved."""

    any_world_size: ClassVar[bool] = False
    """A checkpoint of another number of ranks is resumed, from the start of the epoch under way."""

    def resume(self, name: str | None) -> bool:
        """Continues from the newest whole checkpoint, or takes the weights and moments of the named one; false where there
        is none. Rank 0 reads, the others receive it; rows that ranks share out each reads by itself. A checkpoint of other data
        or settings is skipped with a note."""
        loaded: list[Checkpoint] = []
        self.finish_writing()

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
            state = TrainState.model_validate(told["state"]).moved(told["ranks"], self.shares)
            self.state = state.counted_by(self.communicator.size)
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
