"""Checkpoints: a safetensors file and the JSON that makes it count, each by write, fsync, rename.

The JSON is written last and holds the sha256 of the tensors: a checkpoint without it, or whose tensors do not match it, is
incomplete and skipped with a note. Where ranks hold rows of a table, each writes a file of its own; the JSON names them
all and makes them count at once. Names: `<phase>-<step>` while training, `best-<phase>`, and `live` for what goes into the
bundle.
"""

import errno
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nightrank.feature_store.contracts.errors import ConflictError, DataContractError, DependencyUnreachable
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import Moved, read_json, sha256_file, unwatched, write_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.storage import Location, local_copy, locate, workplace
from nightrank.ranker.tables.row_files import RowFiles
from nightrank.ranker.tensor_file import write_tensors
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.stored import MODEL, OPTIMIZER, Checkpoint, Written, named

KNOWN.add("train.checkpoint.half")
SCHEMA = 1
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Commit = Callable[[], AbstractContextManager[None]]


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
        shards: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Whole on disk under `name` when this returns; the one that was there before is replaced. No tensor is copied.
        `shards` are the files that ranks have written for it, by rank.

        The tensors go to a file of this call's own, outside the fence: they may be large. Only the JSON makes them count.
        """
        tensors = {MODEL + key: value for key, value in model.items()}
        tensors |= {OPTIMIZER + key: value for key, value in optimizer.items()}
        written = self.write_file(name, state, tensors)
        failpoint("train.checkpoint.half")
        files = [written.name, *(shard["name"] for shard in shards)]
        body: dict[str, Any] = {"schema": SCHEMA, "name": name, "tensors": written.name, "sha256": written.sha256}
        if shards:
            body["shards"] = [dict(shard) for shard in shards]
        try:
            with self.commit():
                write_json(self.path / f"{name}.json", {**body, "facts": dict(facts), "state": state.model_dump(mode="json")})
                self._forget(name, files)
        except ConflictError:
            for file in files:
                (self.path / file).unlink()
            raise

    def write_file(self, name: str, state: TrainState, tensors: Mapping[str, Tensor]) -> Written:
        """A file of the checkpoint `name`, under a name of this call's own. DependencyUnreachable where it finds no room."""
        data = self.path / f"{name}-{state.total_steps:09d}-{uuid.uuid4().hex[:8]}.safetensors"
        try:
            return Written(data.name, self._write(data, tensors))
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise DependencyUnreachable(
                f"checkpoint {name} finds no room in {self.path}: {error.strerror}",
                "make room there and give the same command again: training resumes from the checkpoint before",
            ) from None

    def save_running(
        self,
        state: TrainState,
        model: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        shards: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """The checkpoint to resume from; the `keep_last` newest of them stay."""
        self.save(running_name(state), state, model, optimizer, facts, shards)
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
        copy = self._checked(name, Written(body["tensors"], body["sha256"]))
        shards = [Written(**shard) for shard in body.get("shards", ())]
        for shard in shards:
            self._checked(name, shard)
        try:
            tensors = load_file(copy)
        except SafetensorError as error:
            raise DataContractError(f"checkpoint {name} in {self.path}: {error}", "remove it") from None
        return Checkpoint(
            name=name,
            state=TrainState.model_validate(body["state"]),
            model=named(tensors, MODEL),
            optimizer=named(tensors, OPTIMIZER),
            facts=body["facts"],
            files=self.files([shard.name for shard in shards] or [body["tensors"]]),
            file_names=tuple(shard.name for shard in shards) or (body["tensors"],),
            is_shared=bool(shards),
        )

    def files(self, names: Sequence[str]) -> RowFiles:
        """Files of a checkpoint that was found whole, to be read by row."""
        return RowFiles([local_copy(self.path / name) for name in names])

    def _checked(self, name: str, written: Written) -> Path:
        """The file on this machine. DataContractError where it is not what was written."""
        try:
            copy = local_copy(self.path / written.name)
            whole = sha256_file(copy, self.moved) == written.sha256
        except FileNotFoundError:
            whole = False
        if not whole:
            raise DataContractError(
                f"checkpoint {name} in {self.path} is incomplete", "an older checkpoint, or the bundle, is used"
            )
        return copy

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

    def _forget(self, name: str, newest: Sequence[str]) -> None:
        """Tensors that an earlier checkpoint of this name left behind, or a crash between its files."""
        for data in self.path.glob(f"{name}-*.safetensors"):
            if data.name not in newest:
                data.unlink()


def running_name(state: TrainState) -> str:
    """Of the checkpoint to resume from."""
    return f"run-{state.total_steps:09d}-{state.phase}"
