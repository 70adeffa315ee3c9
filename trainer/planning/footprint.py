"""What a rank of a training would hold and send, counted on fake tensors: no weight is allocated."""

from dataclasses import asdict, dataclass, replace
from typing import Final

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose_empty
from nightrank.ranker.inputs import ItemShapes
from nightrank.ranker.model import Ranker
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.distx.anyprecision import PIECE
from nightrank.trainer.distx.deferred import deferred_init
from nightrank.trainer.distx.fake import LiveBytes, counted, fake_tensors
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import FlatGradient, trainable
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.step_parts import TABLE_EXTRAS
from nightrank.trainer.loop.table import trained_table
from nightrank.trainer.planning.travel import Travel, fetch_fake
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.device import choose_device
from nightrank.trainer.tables.catalogue import CHUNK_BYTES, held_vectors
from nightrank.trainer.tables.placement import table_maker

TRIED: Final = (4, 8)
"""Rows of the two steps that are counted; what a longer micro-batch holds follows on a straight line."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of one rank, beyond those of a process with all libraries loaded."""

    weights: int
    gradient: int
    optimizer: int
    rows: int
    """Rows of the table of items that a step fetches and sends back, where they travel by themselves."""
    inputs: int
    """What is known of items beside the weights: text vectors, codes, numbers, popularity, and the sampler of negatives."""
    activations: int
    """The most that a micro-batch holds beside all these, forward and backward."""
    catalogue: int
    """The most that a validation or a bundle holds beside all these: vectors of every item."""
    copies: int
    """What rank 0 holds again while a checkpoint is written beside the training."""
    wire_per_step: int
    """Sent by each rank, on average over steps."""

    @property
    def peak(self) -> int:
        """A step or a validation, whichever holds more."""
        fixed = self.weights + self.gradient + self.optimizer + self.rows + self.inputs + self.copies
        return fixed + max(self.activations, self.catalogue)

    def to_json(self) -> dict[str, int]:
        return {**asdict(self), "peak": self.peak}


class UniformSampler:
    """As many negatives as the trainer's sampler draws, without its tables of probabilities."""

    def __init__(self, items: int) -> None:
        self._items = items

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.randint(1, self._items + 1, (count,), generator=generator), torch.zeros(count)

    def log_q(self, ids: Tensor) -> Tensor:
        return torch.zeros(len(ids))


def footprint(config: TrainerConfig, shapes: ItemShapes, ranks: int) -> Footprint:
    """Of each of `ranks` ranks. ConfigError for a ranker with parts that come from a pre-trained model's files."""
    if config.model.item.text.tunes or config.model.encoder.name in ("causal_lm", "bert_behaviour", "plugin"):
        raise ConfigError(
            f"a plan cannot count the ranker {config.model.encoder.name} with a pre-trained or plugged-in part",
            "train one epoch of it with few rows, and look at the memory",
        )
    with counted() as live:
        make = table_maker(config, config.model, shapes.items, 0, ranks)
        ranker = deferred_init(lambda: compose_empty(config.model, shapes, table=make))
        with fake_tensors():
            optimizer = optimizer_of(ranker, config)
            table = trained_table(ranker, config, SingleProcess())
            flat = FlatGradient(list(trainable(ranker).values()), ranks, 0 if table is None else TABLE_EXTRAS)
        weights = sum(value.nbytes for value in ranker.parameters())
        state = live.now - weights - flat.buffer.nbytes - sum(value.nbytes for value in ranker.buffers())
        steps = [_of_step(_stepping(ranker, config, ranks), config, live, rows) for rows in TRIED]
        catalogue = _of_catalogue(ranker, live)
    moments = sum(value.nbytes for value in optimizer.tensors().values())
    travel = Travel.of(config, ranker, ranks)
    if table is not None:
        moments += sum(value.nbytes for value in table.moments.values())
    sampler = 0 if config.loss.name == "full_softmax" else 16 * (shapes.items + 1)
    return Footprint(
        weights=weights,
        gradient=flat.buffer.nbytes + travel.dense,
        optimizer=max(state, moments),
        rows=travel.held,
        inputs=sum(value.nbytes for value in ranker.buffers()) + sampler,
        activations=_at(steps, rows_of(config)) + (5 * 4 * PIECE if config.optimizer.name != "adamw" else 0),
        catalogue=catalogue,
        copies=weights + moments if table is None and config.checkpoint.in_background else 0,
        wire_per_step=wire(config, flat.gradient, weights + moments, ranks) + travel.sent,
    )


def rows_of(config: TrainerConfig) -> float:
    """Rows of the longest histories in a micro-batch."""
    length = config.model.encoder.max_length
    return min(max(1.0, config.micro_batch_tokens / length), config.batch_rows)


def _of_step(ranker: Ranker, config: TrainerConfig, live: LiveBytes, rows: int) -> int:
    """The most bytes that live at once in forward and backward of so many rows, beyond those that lived before."""
    ranker.train()
    objective = SequenceObjective(ranker, config.loss, config.micro_batch_tokens)
    sampler = UniformSampler(ranker.shapes.items)
    objective.sampler = sampler  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(0)
    size = (rows, config.model.encoder.max_length)
    batch = Batch.from_lists(torch.randint(1, ranker.shapes.items + 1, size, generator=generator).tolist())
    live.restart()
    before = live.now
    if ranker.row_table is not None:
        fetch_fake(ranker.row_table, objective.ids(batch, torch.Generator().manual_seed(1)))
    with choose_device(config.model_copy(update={"device": "cpu"}), 0).autocast():
        loss, _ = objective.loss(batch, torch.Generator().manual_seed(1))
    loss.backward()
    if ranker.row_table is not None:
        ranker.row_table.forget()
    return live.peak - before


def _of_catalogue(ranker: Ranker, live: LiveBytes) -> int:
    """The vectors of all items, or of those held here and a piece of the whole as it travels, there and back."""
    live.restart()
    before = live.now
    with torch.no_grad():
        if not _shared(ranker):
            ranker.all_item_vectors()
            return live.peak - before
        held_vectors(ranker)
    return live.peak - before + 2 * min(CHUNK_BYTES, 4 * (ranker.shapes.items + 1) * ranker.head.width)


def _shared(ranker: Ranker) -> bool:
    return ranker.row_table is not None and ranker.row_table.rows.ranks > 1


def _stepping(ranker: Ranker, config: TrainerConfig, ranks: int) -> Ranker:
    """What a step is counted on. Where ranks work on a full softmax together, a ranker of as many items as each scores."""
    if not (_shared(ranker) and config.loss.name == "full_softmax"):
        return ranker
    few = replace(ranker.shapes, items=-(-ranker.shapes.items // ranks))
    return deferred_init(lambda: compose_empty(config.model, few))


def _at(steps: list[int], rows: float) -> int:
    (first, second), (low, high) = steps, TRIED
    slope = max(0.0, (second - first) / (high - low))
    return round(first + slope * (rows - low))


def wire(config: TrainerConfig, gradient: Tensor, state: int, ranks: int) -> int:
    """Bytes that each rank sends in a step: a ring sends 2 (N - 1) / N of what is summed (Patarasuk & Yuan 2009)."""
    ring = 2 * (ranks - 1) / ranks
    if config.slowmo is not None:
        return round(ring * state / config.slowmo.every)
    width = 2 if config.compression != "none" else gradient.element_size()
    wide = config.ranks_by == "horovod" and gradient.dtype == torch.bfloat16
    return round(ring * gradient.numel() * (4 if wide else width))
