"""Training one configuration on a sequence set with the program's own step, and asking it every question.

Batches come from a ReadPlan over one row group that is in memory; everything from there on is the program's: bucketing by
length, step, loss, optimizer, learning-rate curve, lists and metrics.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.accuracy.sequences import Protocol, Questions, Sequences, held_out, questions, training_rows
from benchmarks.accuracy.texts import Texts
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.features import FeatureTables
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.metrics.ranking import per_row
from nightrank.ranker.model import Ranker
from nightrank.ranker.retrieval.listing import best_items
from nightrank.trainer.config.pretrained import user_folder
from nightrank.trainer.config.training import PhaseConfig, TrainerConfig
from nightrank.trainer.data.filling import Passing, filled
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.data.rows import Rows, offsets_of, token_index
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.schedule import learning_rate
from nightrank.trainer.loop.step import TrainStep, rows_between
from nightrank.trainer.loop.text import renew_texts
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.device import Device, choose_device

CPU = torch.device("cpu")
KS = (10, 20)
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a training left: the curve, and the ranker as it was at its best epoch."""

    ranker: Ranker
    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    minutes: float = 0.0
    tokens_per_second: float = 0.0


@dataclass(frozen=True)
class Known:
    """What is known beside the ids of a history's items."""

    texts: Texts | None = None
    attributes: Tensor | None = None
    features: FeatureTables | None = None


IDS_ALONE: Final = Known()


def item_inputs(data: Sequences, hold: int, known: Known = IDS_ALONE) -> ItemInputs:
    counts = torch.from_numpy(data.counts(hold)).float()
    text, tokens = (None, None) if known.texts is None else (known.texts.vectors, known.texts.tokens)
    return ItemInputs(
        data.items,
        text=text,
        category_codes=known.attributes,
        categories=0 if known.attributes is None else int(known.attributes.max()),
        popularity=counts,
        users=data.users,
        tokens=tokens,
        features=None if known.features is None else known.features.features,
    )


def filled_in(batch: Batch, known: Known) -> Batch:
    """The batch with the features of its events, where there are any."""
    return batch if known.features is None else known.features.fill(batch)


def fit(
    config: TrainerConfig,
    data: Sequences,
    protocol: Protocol,
    seed: int,
    say: Say,
    epochs: int | None = None,
    every: int = 1,
    known: Known = IDS_ALONE,
    ahead: int = 0,
) -> Outcome:
    """With `epochs` exactly so many of the planned curve, nothing validated (the refit); else early stopping on validation.

    With `ahead` 1 the loss sees one item less of each user: as far from the validation item as strict training from the test.
    """
    hold, phase = held_out(protocol) + ahead, config.fit
    folder = None if known.texts is None else known.texts.folder
    started_from = user_folder(config.model, TextSettings(encoder="none" if folder is None else str(folder)))
    ranker = compose(config.model, item_inputs(data, hold, known), seed, text_encoder=folder, user_encoder=started_from)
    optimizer, device = optimizer_of(ranker, config), device_of(config)
    objective = SequenceObjective(ranker, config.loss, config.micro_batch_tokens, config.reorder)
    step = TrainStep(ranker, optimizer, SingleProcess(), device, objective, config.optimizer, seed)
    rows = training_rows(data, hold, config.model.encoder.max_length)
    valid = None if epochs is not None else questions(data, 2, 2 + ahead, known.texts is not None)
    outcome, best, bad = Outcome(ranker), -1.0, 0
    kept: dict[str, Tensor] = {}
    tokens, spent = 0, 0.0
    for epoch in range(phase.epochs if epochs is None else epochs):
        plan = ReadPlan((len(rows),), seed, epoch, 1, config.batch_rows)
        started = time.perf_counter()
        batches = (filled_in(batch, known) for batch in epoch_batches(rows, plan))
        loss, read = train_epoch(step, ranker, batches, plan, phase)
        renew_texts(ranker, SingleProcess(), device)
        tokens, spent = tokens + read, spent + time.perf_counter() - started
        if valid is None or ((epoch + 1) % every and epoch + 1 < phase.epochs):
            continue
        figures = means(ask(ranker, valid, device, known))
        outcome.curve.append({"epoch": epoch + 1, "minutes": spent / 60, "loss": loss, **figures})
        say(f"epoch {epoch + 1}: {spent / 60:.1f} min, loss {loss:.4f}, {_told(figures)}")
        better = figures["ndcg@10"] > best
        best, bad = max(best, figures["ndcg@10"]), 0 if better else bad + 1
        if better:
            outcome.best_epoch = epoch + 1
            kept = {name: value.clone() for name, value in ranker.state_dict().items()}
        if phase.patience is not None and bad >= phase.patience:
            break
    if kept:
        ranker.load_state_dict(kept)
    outcome.minutes, outcome.tokens_per_second = spent / 60, tokens / max(spent, 1e-9)
    return outcome


def train_epoch(
    step: TrainStep[Batch], ranker: Ranker, batches: Iterator[Batch], plan: ReadPlan, phase: PhaseConfig
) -> tuple[float, int]:
    """(mean loss of the steps, tokens)."""
    losses, tokens = 0.0, 0
    ranker.train()
    for number in range(plan.epoch * plan.steps, (plan.epoch + 1) * plan.steps):
        report = step(batches, number, learning_rate(phase, number, plan.steps * phase.epochs))
        losses, tokens = losses + report.loss, tokens + report.tokens
    return losses / max(1, plan.steps), tokens


def epoch_batches(rows: Rows, plan: ReadPlan) -> Iterator[Batch]:
    groups = iter([Passing(rows, plan.row_order(segment)) for segment in plan.segments(0)])
    for _, buffer in filled(plan, 0, plan.windows(0), groups, ValueError):
        yield from buffer.batches()


def ask(
    ranker: Ranker, queries: Questions, device: Device, known: Known = IDS_ALONE, rows: int = 1024
) -> dict[str, np.ndarray]:
    """Each metric by user, full ranking, what the user has seen left out."""
    was = ranker.training
    ranker.eval()
    catalogue = ranker.all_item_vectors()
    longest = ranker.config.encoder.max_length
    lists = []
    # Histories of similar length are grouped, so little padding is wasted.
    order_B = torch.argsort(queries.history.lengths, stable=True)
    history = filled_in(_rows(queries.history, order_B), known)
    with torch.no_grad():
        for first in range(0, history.rows, rows):
            part = rows_between(history, first, min(first + rows, history.rows))
            with device.autocast():
                vectors = ranker.user_vectors(part.newest(longest))
            seen = (part.items_T, part.offsets_B1)
            lists.append(best_items(ranker.head, vectors.float(), catalogue, max(KS), seen)[0].numpy())
    ranker.train(was)
    found_BK = np.empty((history.rows, max(KS)), np.int64)
    found_BK[order_B.numpy()] = np.concatenate(lists)
    target = queries.target_B.numpy()
    return per_row(found_BK, target, np.arange(len(target) + 1), KS)


def _rows(batch: Batch, order_B: Tensor) -> Batch:
    """The rows in that order."""
    lengths_B = batch.lengths[order_B]
    index_T = torch.from_numpy(token_index(batch.offsets_B1[:-1][order_B].numpy(), lengths_B.numpy()))
    return Batch(
        items_T=batch.items_T[index_T],
        actions_T=batch.actions_T[index_T],
        times_T=batch.times_T[index_T],
        offsets_B1=torch.from_numpy(offsets_of(lengths_B.numpy())),
        loss_from_B=batch.loss_from_B[order_B],
        weight_B=batch.weight_B[order_B],
        users_B=batch.users_B[order_B],
    )


def means(by_user: dict[str, np.ndarray]) -> dict[str, float]:
    return {f"{name}@{k}": float(by_user[f"{name}@{k}"].mean()) for name in ("recall", "ndcg") for k in KS}


def _told(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {figures[name]:.4f}" for name in ("recall@10", "ndcg@10"))


def device_of(config: TrainerConfig) -> Device:
    return choose_device(config.model_copy(update={"device": "cpu"}), 0)
