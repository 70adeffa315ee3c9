"""The text encoder that a ranker tunes: how all ranks renew its vectors, and what the outcome is called."""

import hashlib
from typing import Final

import torch

from nightrank.ranker.model import Ranker
from nightrank.trainer.ranks.communicator import Communicator, run_on_all_ranks
from nightrank.trainer.ranks.device import Device

TUNED: Final = "+"
"""Between the revision of the encoder a tuning started from and the sha256 of what was trained."""


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

    run_on_all_ranks(communicator, encode)
    communicator.allreduce_sum(fresh_IW)
    ranker.items.text_matrix.copy_(fresh_IW)


def text_revision(ranker: Ranker, base: str | None) -> str | None:
    """Name of the encoder behind the ranker's text vectors: the snapshot's, or one of its own where it was tuned."""
    tower = ranker.items.text_tower
    if tower is None:
        return base
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(name.encode() + value.detach().float().cpu().contiguous().numpy().tobytes())
    return f"{base}{TUNED}{digest.hexdigest()}"


def base_revision(revision: str | None) -> str | None:
    """The encoder a tuning started from."""
    return None if revision is None else revision.partition(TUNED)[0]
