"""One rank of `benchmarks.sharded_tables`: steps of this trainer, or of plain Horovod, in rounds that others begin."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from nightrank.feature_store.contracts.config import validate
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.data.memory import keep_freed_memory
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.loop.table import TableStep, trained_table
from nightrank.trainer.ranks.communicator import Communicator
from nightrank.trainer.ranks.device import choose_device
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.ranks.worlds import open_world
from nightrank.trainer.tables.placement import table_maker

ITEMS: Final = {"shard": 1_000_000, "dense": 1_000_000, "replicate": 1_000}
"""By way; `replicate` is the dense model alone."""
LENGTH: Final = 50
WARM: Final = 3
RATE: Final = 1e-3
Step = Callable[[int], float]
BACKENDS: Final = {"horovod": "horovodrun", "torch": "torchrun"}


def config_of(launcher: str, placement: str, rows: int, width: int) -> TrainerConfig:
    settings = {
        "launcher": launcher,
        "precision": "fp32",
        "batch_rows": rows,
        "micro_batch_tokens": 8192,
        "model": {"width": width, "encoder": {"dropout": 0.0, "blocks": 2, "heads": 2, "max_length": LENGTH}},
        "loss": {"name": "sampled_softmax", "negatives": 1024, "sampling": "uniform"},
        "optimizer": {"weight_decay": 0.0},
        "tables": {"placement": placement},
    }
    return validate(TrainerConfig, settings)


def batch_of(config: TrainerConfig, items: int, rank: int, number: int) -> Batch:
    generator = torch.Generator().manual_seed(1000 * number + rank)
    rows = torch.randint(1, items + 1, (config.batch_rows, LENGTH), generator=generator)
    return Batch.from_lists(rows.tolist())


def ours(config: TrainerConfig, world: Communicator, items: int) -> Step:
    """Steps of this trainer."""
    make = table_maker(config, config.model, items, world.rank, world.size)
    ranker = compose(config.model, ItemInputs(items), 1, table=make)
    table = trained_table(ranker, config, world)
    objective = SequenceObjective(ranker, config.loss, config.micro_batch_tokens, world=world)
    rows = None if table is None else TableStep(table, objective)
    device = choose_device(config, 0)
    step = TrainStep(ranker, optimizer_of(ranker, config), world, device, objective, config.optimizer, 1, table=rows)
    return lambda number: step(iter([batch_of(config, items, world.rank, number)]), number, RATE).loss


def dense(config: TrainerConfig, world: Communicator) -> Step:
    """Steps of the same ranker by Horovod's own optimizer, as its documentation shows it."""
    import horovod.torch as hvd

    items = ITEMS["dense"]
    ranker = compose(config.model, ItemInputs(items), 1)
    objective = SequenceObjective(ranker, config.loss, 10**9)
    plain = torch.optim.AdamW(ranker.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    optimizer = hvd.DistributedOptimizer(plain, named_parameters=ranker.named_parameters())
    hvd.broadcast_parameters(ranker.state_dict(), root_rank=0)
    generator = torch.Generator()

    def step(number: int) -> float:
        generator.manual_seed(number)
        optimizer.zero_grad()
        loss, weight = objective.loss(batch_of(config, items, world.rank, number), generator)
        (loss / weight).backward()
        optimizer.step()
        return float(loss / weight)

    return step


def rank_main(way: str, rounds: int, steps: int, rows: int, width: int, out: Path) -> None:
    """One rank's life: warm, then a round whenever a line says so; rank 0 answers with the seconds of each."""
    backend, placement = way.split("-")[:2]
    torch.set_num_threads(1)
    keep_freed_memory()
    single = int(os.environ.get("BENCH_RANKS", "2")) == 1
    stay_on_one_core()
    config = config_of(
        "one_process" if single else BACKENDS[backend], "replicate" if placement == "dense" else placement, rows, width
    )
    world = open_world(config, Progress(), single)
    step = dense(config, world) if placement == "dense" else ours(config, world, ITEMS[placement])
    first, *_ = [step(number) for number in range(WARM)]
    world.barrier()
    turns = Path(os.environ["BENCH_TURNS"])
    seconds, busy = [], []
    for turn in range(rounds):
        wait_for(turns / f"go-{way}-{turn}")
        world.barrier()
        started, worked = time.perf_counter(), time.process_time()
        for number in range(steps):
            step(WARM + turn * steps + number)
        busy.append(time.process_time() - worked)
        world.barrier()
        seconds.append(time.perf_counter() - started)
        if world.rank == 0:
            (turns / f"done-{way}-{turn}").touch()
    told = world.gather([first, busy])
    if world.rank == 0:
        losses, cpu = [loss for loss, _ in told], [max(of_ranks) for of_ranks in zip(*(b for _, b in told), strict=True)]
        out.write_text(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "first_loss": sum(losses) / len(losses)}))


def stay_on_one_core() -> None:
    """This rank and the threads that its backend starts from now on run on one core, another one for each rank."""
    local = int(os.environ.get("HOROVOD_LOCAL_RANK") or os.environ.get("LOCAL_RANK") or 0)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[local % len(cores)]})


def wait_for(path: Path, alive: Callable[[], bool] = lambda: True) -> None:
    while not path.exists():
        if not alive():
            raise SystemExit(f"a way ended before it was done ({path.name})")
        time.sleep(0.05)
