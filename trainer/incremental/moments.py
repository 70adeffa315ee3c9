"""A night's start, the optimizer: the champion's moments, with zeros for the rows of items that came since."""

from typing import Any

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import Parent
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.bundle.bundle import Bundle
from nightrank.ranker.bundle.scorer import shapes_of
from nightrank.ranker.inputs import ItemShapes
from nightrank.trainer.incremental.growth import longer_moments
from nightrank.trainer.loop.checkpoint import CheckpointFolder
from nightrank.trainer.loop.stored import Checkpoint
from nightrank.trainer.loop.training import Training
from nightrank.trainer.ranks.communicator import broadcast_object, run_on_all_ranks

LIVE = "live"
"""Name of the checkpoint beside a live bundle."""


def share_moments(training: Training, parent: Bundle | None) -> None:
    """Every rank has rank 0's weights, and the moments of the champion's optimizer as rank 0 finds them: names and shapes are
    told first, the values follow. Rows that ranks share out each reads by itself. None, with a warning, without the champion's
    checkpoint, and for a run that has no champion or wants none of it."""
    job = training.job
    if parent is None or job.parent is None or job.config.night.fresh_optimizer:
        training.share({})
        return
    found: dict[str, Tensor] = {}

    def read() -> dict[str, Any]:
        assert job.parent is not None and parent is not None
        checkpoint = _checkpoint(job.lake.root, job.parent)
        if checkpoint is None:
            return {"shapes": {}, "files": []}
        found.update(_moments(training, checkpoint, parent))
        return {"shapes": {key: list(value.shape) for key, value in found.items()}, "files": checkpoint.file_names}

    told = broadcast_object(training.communicator, read)
    training.share(found or {key: torch.zeros(shape) for key, shape in told["shapes"].items()})
    table = training.table
    if table is not None and table.shared and told["files"]:
        folder = _folder(job.lake.root, job.parent)
        run_on_all_ranks(training.communicator, lambda: table.read(folder.files(told["files"]), weights=False))


def _moments(training: Training, checkpoint: Checkpoint, parent: Bundle) -> dict[str, Tensor]:
    """What rank 0 tells the others, with rows for new items."""
    table, shapes = training.table, training.ranker.shapes
    if table is None or not table.shared:
        return _longer(checkpoint, parent, shapes)
    return longer_moments(table.of_one_rank(checkpoint.optimizer), shapes_of(parent.info), shapes)


def grown_moments(root: Location, parent: Parent, bundle: Bundle, shapes: ItemShapes) -> dict[str, Tensor]:
    """The champion's optimizer state with zeros for the new rows of tables of those shapes; empty, with a warning, without its
    checkpoint."""
    checkpoint = _checkpoint(root, parent)
    return {} if checkpoint is None else _longer(checkpoint, bundle, shapes)


def _longer(checkpoint: Checkpoint, bundle: Bundle, shapes: ItemShapes) -> dict[str, Tensor]:
    return longer_moments(checkpoint.whole().optimizer, shapes_of(bundle.info), shapes)


def _checkpoint(root: Location, parent: Parent) -> Checkpoint | None:
    try:
        if parent.checkpoint is None:
            raise DataContractError("the champion has no checkpoint", "")
        return _folder(root, parent).load(LIVE)
    except DataContractError as error:
        log.info(f"train: the champion's optimizer state is not available, starting without it: {error.message}")
        return None


def _folder(root: Location, parent: Parent) -> CheckpointFolder:
    return CheckpointFolder(root / str(parent.checkpoint))
