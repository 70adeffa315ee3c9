"""Twenty steps of a small ranker whose table is held whole or by row, on any world: what came out, to be compared."""

from typing import Any

import torch

from nightrank.feature_store.contracts.config import overlay, validate
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.model import Ranker
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.loop.table import TableStep, TrainedTable, trained_table
from nightrank.trainer.ranks.communicator import Communicator
from nightrank.trainer.tables.placement import table_maker
from tests.training_jobs import CPU

ITEMS = 61
IDS = "items.ids.weight"
STEPS = 20
CONFIG: dict[str, Any] = {
    "launcher": "one_process",
    "precision": "fp32",
    "micro_batch_tokens": 40,
    "model": {"width": 16, "encoder": {"dropout": 0.0, "blocks": 1, "heads": 2}},
    "loss": {"name": "sampled_softmax", "negatives": 12},
    # A key bias has no gradient but rounding, which a tiny epsilon would blow up to whole steps.
    "optimizer": {"epsilon": 1e-4, "table_decay": 0.01},
}


def config_of(placement: str, *changes: dict[str, Any]) -> TrainerConfig:
    settings = overlay(CONFIG, {"tables": {"placement": placement}})
    for change in changes:
        settings = overlay(settings, change)
    return validate(TrainerConfig, settings)


def global_batches() -> list[list[list[int]]]:
    generator = torch.Generator().manual_seed(1)
    batches = []
    for _ in range(STEPS):
        lengths = torch.randint(2, 12, (13,), generator=generator).tolist()
        batches.append([torch.randint(1, ITEMS + 1, (n,), generator=generator).tolist() for n in lengths])
    return batches


def stepping(config: TrainerConfig, world: Communicator) -> tuple[TrainStep[Batch], Ranker, TrainedTable | None]:
    torch.set_num_threads(1)
    make = table_maker(config, config.model, ITEMS, world.rank, world.size)
    inputs = ItemInputs(ITEMS, popularity=torch.arange(ITEMS + 1.0))
    ranker = compose(config.model, inputs, 5, table=make)
    table = trained_table(ranker, config, world)
    objective = SequenceObjective(ranker, config.loss, config.micro_batch_tokens, world=world)
    rows = None if table is None else TableStep(table, objective)
    step = TrainStep(ranker, optimizer_of(ranker, config), world, CPU, objective, config.optimizer, 3, table=rows)
    return step, ranker, table


def train_rows(config: TrainerConfig, world: Communicator) -> dict[str, Any]:
    """Losses and norms of STEPS steps, and this rank's weights and moments after them."""
    step, ranker, table = stepping(config, world)
    batches = iter([Batch.from_lists(batch[world.rank :: world.size]) for batch in global_batches()])
    reports = [step(batches, number, 1e-2) for number in range(STEPS)]
    return {
        "loss": [report.loss for report in reports],
        "norm": [report.gradient_norm for report in reports],
        "weights": {name: value.detach().clone() for name, value in ranker.state_dict().items()},
        "moments": {} if table is None else {name: value.clone() for name, value in table.moments.items()},
        "rows": [sum(report.rows) for report in reports],
    }


def whole(parts: list[dict[str, Any]], key: str, name: str, total: int) -> torch.Tensor:
    """A tensor by row, put together from the ranks."""
    result = torch.empty(total, *parts[0][key][name].shape[1:])
    for rank, part in enumerate(parts):
        result[rank :: len(parts)] = part[key][name]
    return result
