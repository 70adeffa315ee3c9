"""Checkpoints: a safetensors file and the JSON that makes it count, each by write, fsync, rename.

The JSON is written last and holds the sha256 of the tensors: a checkpoint without it, or whose tensors do not match it, is
incomplete and skipped with a note. Names: `<phase>-<step>` while training, `best-<phase>`, and `live` for what goes into the
bundle.
"""

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nightrank.feature_store.contracts.errors import ConflictError, DataContractError
from nightrank.feature_store.contracts.files import Moved, read_json, sha256_file, unwatched, write_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.storage import Location, local_copy, locate, workplace
from nightrank.ranker.tensor_file import write_tensors
from nightrank.trainer.loop.state import TrainState

SCHEMA = 1
MODEL, OPTIMIZER = "model.", "optimizer."
Commit = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint. Tensors are on the CPU, mapped from the file: an unused tensor takes no memory."""

    name: str
    state: TrainState
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    facts: dict[str, Any]
    """What it belongs to: snapshot, configuration, lineage, number of items."""


@dataclass(frozen=True)
class CheckpointFolder:
    path: Location
    keep_last: int = 2
    moved: Moved = unwatched
    """Called between the blocks of a large file: writing or reading one is progress."""
    commit: Commit = nullcontext
    """Around what makes a checkpoint count, and around removing one: the run's fence. ConflictError once it was superseded."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", locate(self.path))

    def save(
        self,
        name: str,
        state: TrainState,
        model: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor],
        facts: Mapping[str, Any],
    ) -> None:
        """Whole on disk under `name` when this returns; the one that was there before is replaced. No tensor is copied.

        The tensors go to a file of this call's own, outside the fence: they may be large. Only the JSON makes them count.
        """
        tensors = {MODEL + key: value for key, value in model.items()}
        tensors |= {OPTIMIZER + key: value for key, value in optimizer.items()}
        data = self.path / f"{name}-{state.total_steps:09d}-{uuid.uuid4().hex[:8]}.safetensors"
        digest = self._write(data, tensors)
        body = {"schema": SCHEMA, "name": name, "tensors": data.name, "sha256": digest, "facts": dict(facts)}
        try:
            with self.commit():
                write_json(self.path / f"{name}.json", {**body, "state": state.model_dump(mode="json")})
                self._forget(name, data)
        except ConflictError:
            data.unlink()
            raise

    def save_running(
        self, state: TrainState, model: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """The checkpoint to resume from; the `keep_last` newest of them stay."""
        self.save(f"run-{state.total_steps:09d}-{state.phase}", state, model, optimizer, facts)
        for old in self.running()[: -self.keep_last]:
            self.remove(old)

    def running(self) -> list[str]:
        """Names of the checkpoints to resume from, oldest first."""
        return sorted((path.stem for path in self.path.glob("run-*.json")), key=self._age)

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint to resume from; incomplete ones are noted on stderr and skipped."""
        for name in reversed(self.running()):
            try:
                return self.load(name)
            except DataContractError as error:
                log.info(f"checkpoint skipped: {error.message}")
        return None

    def load(self, name: str) -> Checkpoint:
        """DataContractError where it is missing or incomplete."""
        body = self._body(name)
        data = self.path / body["tensors"]
        try:
            copy = local_copy(data)
            whole = sha256_file(copy, self.moved) == body["sha256"]
        except FileNotFoundError:
            whole = False
        if not whole:
            raise DataContractError(
                f"checkpoint {name} in {self.path} is incomplete", "an older checkpoint, or the bundle, is used"
            )
        try:
            tensors = load_file(copy)
        except SafetensorError as error:
            raise DataContractError(f"checkpoint {name} in {self.path}: {error}", "remove it") from None
        return Checkpoint(
            name=name,
            state=TrainState.model_validate(body["state"]),
            model={key.removeprefix(MODEL): value for key, value in tensors.items() if key.startswith(MODEL)},
            optimizer={key.removeprefix(OPTIMIZER): value for key, value in tensors.items() if key.startswith(OPTIMIZER)},
            facts=body["facts"],
        )

    def has(self, name: str) -> bool:
        return (self.path / f"{name}.json").exists()

    def remove(self, name: str) -> None:
        with self.commit():
            (self.path / f"{name}.json").unlink()
            for data in self.path.glob(f"{name}-*.safetensors"):
                data.unlink()

    def _write(self, data: Location, tensors: Mapping[str, Tensor]) -> str:
        """The tensors are at `data`; returns their sha256. To a bucket they go by a file of this machine."""
        if data.is_local:
            return write_tensors(data.path, tensors, self.moved)
        here = workplace(data)
        try:
            digest = write_tensors(here, tensors, self.moved)
            data.upload(here)
        finally:
            here.unlink(missing_ok=True)
        self.moved()
        return digest

    def _body(self, name: str) -> dict[str, Any]:
        try:
            body: dict[str, Any] = read_json(self.path / f"{name}.json")
        except (FileNotFoundError, ValueError) as error:
            raise DataContractError(f"checkpoint {name} in {self.path} cannot be read: {error}", "remove it") from None
        if body.get("schema") != SCHEMA:
            raise DataContractError(f"checkpoint {name} in {self.path} has schema {body.get('schema')}", f"this reads {SCHEMA}")
        return body

    def _age(self, name: str) -> int:
        return int(name.split("-")[1])

    def _forget(self, name: str, newest: Location) -> None:
        """Tensors that an earlier checkpoint of this name left behind, or a crash between its two files."""
        for data in self.path.glob(f"{name}-*.safetensors"):
            if data != newest:
                data.unlink()
