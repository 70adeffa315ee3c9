"""What a bundle takes from ranks that share out the table of items: each writes its rows to a file, and rank 0 puts them
together from there, so that no rank ever holds all of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from nightrank.ranker.model import evaluating
from nightrank.ranker.tables.row_files import StoredRows
from nightrank.trainer.loop.training import Training
from nightrank.trainer.ranks.communicator import run_on_all_ranks
from nightrank.trainer.tables.catalogue import held_inputs, held_vectors

NAME: Final = "bundle"
"""Of the files, in the folder of checkpoints. They are gone afterwards."""


@contextmanager
def bundle_rows(training: Training) -> Iterator[Mapping[str, StoredRows] | None]:
    """All ranks together. Within it rank 0 can write `weight`, `items` and `inputs` from files; None where it holds them."""
    if training.table is None or not training.table.shared:
        yield None
        return
    folder, world = training.folder, training.communicator
    with training.progress.during("writing a bundle"):
        mine = run_on_all_ranks(world, lambda: folder.write_file(NAME, training.state, _of_this_rank(training)))
    names = world.gather(mine.name)
    files = run_on_all_ranks(world, lambda: folder.files(names))
    try:
        yield {name: StoredRows(files, name) for name in files.names()}
    finally:
        (folder.path / mine.name).unlink()


def _of_this_rank(training: Training) -> dict[str, Tensor]:
    ranker = training.ranker
    assert ranker.row_table is not None
    with torch.no_grad(), evaluating(ranker):
        rows = {"weight": ranker.row_table.weight.detach(), "items": held_vectors(ranker)}
        if not ranker.head.keeps_inputs:
            rows["inputs"] = held_inputs(ranker)
    return rows
