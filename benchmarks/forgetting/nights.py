"""One way to update: from a model of the periods before t to one that has period t too, by the program's own parts."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.accuracy.fit import device_of, epoch_batches, train_epoch
from benchmarks.forgetting.periods import Period, beside, joined, label_rows, labels_of, questions, users_of, whole_rows
from nightrank.feature_store.replay_choice import exemplars, reservoir
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.growth import grow
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.metrics.ranking import per_row
from nightrank.ranker.model import Ranker
from nightrank.ranker.retrieval.listing import best_items
from nightrank.trainer.config.training import DistillationConfig, PhaseConfig, TrainerConfig
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.data.rows import Rows
from nightrank.trainer.incremental.distillation import Replayed, frozen, soft_labels
from nightrank.trainer.incremental.growth import longer_moments
from nightrank.trainer.loop.anchor import Anchor
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import AdamW, trainable
from nightrank.trainer.loop.step import TrainStep, rows_between
from nightrank.trainer.ranks.communicator import SingleProcess

K: Final = 20
Moments = dict[str, Tensor]
Replay = Literal["uniform", "reservoir", "exemplars"]


@dataclass(frozen=True)
class Way:
    """What is switched on in a night."""

    dropout: bool = True
    replay: Replay | None = None
    distillation: DistillationConfig | None = None
    anchor: float = 0.0
    fresh_optimizer: bool = False
    rate: float = 1.0
    """Times `night.learning_rate`."""
    joint: bool = False
    """No night: trained again from the start on all periods so far."""


@dataclass(frozen=True)
class Model:
    ranker: Ranker
    moments: Moments


def first_model(config: TrainerConfig, periods: list[Period], seed: int) -> Model:
    """Trained from the start on all the periods, as `fit` does but for a fixed number of epochs."""
    everything = joined(periods)
    return trained(config, inputs_of(everything.items), whole_rows(everything, longest(config)), seed)


def trained(config: TrainerConfig, inputs: ItemInputs, rows: Rows, seed: int) -> Model:
    """From the start, by the phase `fit`."""
    ranker = compose(config.model, inputs, seed)
    optimizer = AdamW(ranker, config.optimizer)
    _train(config, config.fit, ranker, optimizer, rows, seed)
    return Model(ranker, optimizer.tensors())


def next_model(
    config: TrainerConfig, way: Way, before: Model, past: list[Period], day: Period, events: int, seed: int
) -> Model:
    """`before` is of `past`; afterwards it has `day` too, which with replay comes with about `events` labels of the past."""
    if way.joint:
        return first_model(config, [*past, day], seed)
    most = max(before.ranker.shapes.items, int(day.items.max()))
    replay = None if way.replay is None else replayed_rows(way.replay, joined(past), events, longest(config), seed)
    return tuned(config, way, before, inputs_of(day.items, most), whole_rows(day, longest(config)), replay, seed)


def tuned(
    config: TrainerConfig, way: Way, before: Model, inputs: ItemInputs, rows: Rows, replay: Rows | None, seed: int
) -> Model:
    """`before`, grown to `inputs` and fine-tuned by the phase `night`. `inputs.popularity` counts the day's events alone."""
    ranker = grown(config, way, before.ranker, inputs)
    optimizer = AdamW(ranker, config.optimizer)
    moments = {} if way.fresh_optimizer else longer_moments(before.moments, before.ranker.shapes, ranker.shapes)
    optimizer.load(moments)
    start = {name: value.detach().clone() for name, value in trainable(ranker).items()}
    soft = None
    if replay is not None:
        counted = Replayed(users_of(replay), labels_of(replay), labels_of(rows))
        wanted = way.distillation or DistillationConfig()
        soft = soft_labels(frozen(ranker, {}), before.ranker.shapes.items, ranker.shapes.items, counted, wanted)
        rows = beside(rows, replay)
    anchor = Anchor(ranker, start, way.anchor) if way.anchor else None
    objective = SequenceObjective(ranker, config.loss, config.micro_batch_tokens, config.reorder, soft)
    phase = config.night.model_copy(update={"learning_rate": config.night.learning_rate * way.rate})
    _train(config, phase, ranker, optimizer, rows, seed, objective, anchor)
    return Model(ranker, optimizer.tensors())


def replayed_rows(choice: str, past: Period, events: int, length: int, seed: int) -> Rows:
    """About `events` labels. uniform: whole sessions, others every night; else single labels by priorities that stay."""
    if choice == "uniform":
        draws = np.random.default_rng([seed, len(past.items)]).random(len(past.sessions))
        share = events / max(int(past.is_label.sum()), 1)
        return label_rows(past, np.repeat(draws < share, past.lengths), length)
    labels = np.flatnonzero(past.is_label)
    # Events of earlier periods come first, so they have the same draws every night.
    priorities, items = np.random.default_rng([seed, 1]).random(len(labels)), past.items[labels]
    chosen = np.zeros(len(past.items), dtype=bool)
    if choice == "reservoir":
        chosen[labels[reservoir(priorities, events)]] = True
    else:
        of_items = np.random.default_rng([seed, 2]).random(int(past.items.max()) + 1)
        chosen[labels[exemplars(items, priorities, of_items, events)]] = True
    return label_rows(past, chosen, length)


def measure(config: TrainerConfig, ranker: Ranker, period: Period, rows: int = 2048) -> dict[str, float]:
    """Recall@20 and MRR@20 over all items the ranker knows, in percent, and how many questions there were."""
    history, target_B = questions(period.known_to(ranker.shapes.items), longest(config))
    lists = lists_of(config, ranker, history, K, rows)
    figures = per_row(lists, target_B.numpy(), np.arange(len(target_B) + 1), (K,))
    return {f"{name}@{K}": 100 * float(figures[f"{name}@{K}"].mean()) for name in ("recall", "mrr")} | {"n": len(target_B)}


def lists_of(config: TrainerConfig, ranker: Ranker, history: Batch, k: int, rows: int = 2048) -> np.ndarray:
    """[B, k] the best of all items the ranker knows, dropout off."""
    was, catalogue, found = ranker.training, ranker.all_item_vectors(), []
    ranker.eval()
    with torch.no_grad():
        for first in range(0, history.rows, rows):
            part = rows_between(history, first, min(first + rows, history.rows))
            with device_of(config).autocast():
                vectors = ranker.user_vectors(part)
            found.append(best_items(ranker.head, vectors.float(), catalogue, k)[0].numpy())
    ranker.train(was)
    return np.concatenate(found) if found else np.zeros((0, k), np.int64)


def grown(config: TrainerConfig, way: Way, before: Ranker, inputs: ItemInputs) -> Ranker:
    """In training mode, with rows for what the day brought and its events counted; dropout as the way wants it."""
    counts = before.items.popularity
    assert inputs.popularity is not None
    inputs.popularity[: len(counts)] += counts
    ranker = grow(before, inputs)
    if not way.dropout:
        weights = ranker.state_dict()
        ranker = compose(without_dropout(config).model, inputs, 0)
        ranker.load_state_dict(weights)
    return ranker.train()


def without_dropout(config: TrainerConfig) -> TrainerConfig:
    model = config.model.model_dump()
    model["encoder"]["dropout"], model["item"]["dropout"] = 0.0, 0.0
    return config.model_copy(update={"model": type(config.model).model_validate(model)})


def inputs_of(items: np.ndarray, most: int | None = None) -> ItemInputs:
    most = int(items.max()) if most is None else most
    return ItemInputs(most, popularity=torch.from_numpy(np.bincount(items, minlength=most + 1)).float())


def longest(config: TrainerConfig) -> int:
    return config.model.encoder.max_length


def _train(
    config: TrainerConfig,
    phase: PhaseConfig,
    ranker: Ranker,
    optimizer: AdamW,
    rows: Rows,
    seed: int,
    objective: SequenceObjective | None = None,
    anchor: Anchor | None = None,
) -> None:
    objective = objective or SequenceObjective(ranker, config.loss, config.micro_batch_tokens, config.reorder)
    step = TrainStep(ranker, optimizer, SingleProcess(), device_of(config), objective, config.optimizer, seed, anchor)
    for epoch in range(phase.epochs):
        plan = ReadPlan((len(rows),), seed, epoch, 1, config.batch_rows)
        train_epoch(step, ranker, epoch_batches(rows, plan), plan, phase)
