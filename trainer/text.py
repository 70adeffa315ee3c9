"""The text encoder that a ranker tunes: where it comes from, how all ranks renew its vectors, what the outcome is called."""

import hashlib
from pathlib import Path
from typing import Final

import torch

from feature_store.contracts.errors import DataContractError
from feature_store.contracts.snapshot import DatasetSnapshot
from feature_store.text_model import text_model
from ranker.config import RankerConfig
from ranker.model import Ranker
from trainer.communicator import Communicator, together
from trainer.device import Device
from trainer.job import Job

TUNED: Final = "+"
"""Between the revision of the encoder a tuning started from and the sha256 of what was trained."""


def text_folder(job: Job, model: RankerConfig, snapshot: DatasetSnapshot) -> Path | None:
    """The model folder where `model` reads texts itself, else None. DataContractError where the configured encoder is not that
    of the snapshot: its tokens would mean other words."""
    if not model.reads_texts or snapshot.text_width == 0:
        return None
    found = text_model(job.text)
    if found is None or found.revision != snapshot.text_revision:
        raise DataContractError(
            f"text.encoder {job.text.encoder} is not what the texts of snapshot {snapshot.id[:12]} were encoded with",
            "run a full night with this text.encoder, or name the one before",
        )
    return found.folder


def renew_texts(ranker: Ranker, communicator: Communicator, device: Device) -> None:
    """Every cached text vector is what the ranker's encoder gives now, the same on every rank: each encodes its share. Nothing
    happens where the encoder is frozen."""
    tower = ranker.items.text_tower
    if tower is None:
        return
    fresh_IW = torch.zeros_like(ranker.items.text_matrix)

    def encode() -> None:
        mine = (tower.lengths > 0).nonzero().flatten()[communicator.rank :: communicator.size]
        with device.autocast():
            fresh_IW[mine] = tower.without_gradient(mine)

    together(communicator, encode)
    communicator.allreduce_sum(fresh_IW)
    ranker.items.text_matrix.copy_(fresh_IW)


def text_revision(ranker: Ranker, base: str | None) -> str | None:
    """Name of the encoder behind the ranker's text vectors: the snapshot's, or one of its own where it was tuned."""
    tower = ranker.items.text_tower
    if tower is None:
        return base
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return f"{base}{TUNED}{digest.hexdigest()}"


def base_revision(revision: str | None) -> str | None:
    """The encoder a tuning started from."""
    return None if revision is None else revision.partition(TUNED)[0]
