"""The model of `trainer.planning.scaling` beside steps of two and four ranks on this machine, and what it says of larger ones.

`python -m benchmarks.scaling_model [--rounds 5 --steps 5 --out FILE]`. In every round each rank takes steps without a world
and waits for the others after each (compute), steps with the table shared out (measured), and collectives.
Latency and bandwidth come from the two ranks alone; with them the step of two and of four ranks is predicted. Four ranks on two
cores compute twice as long; that is measured, not predicted. `equal`: every prediction is within 20 % of what was measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch

from benchmarks.machine import machine
from benchmarks.runs import tell
from benchmarks.sharded_rank import BACKENDS, WARM, config_of, ours, stay_on_one_core
from benchmarks.sharded_tables import command_of
from nightrank.trainer.data.memory import keep_freed_memory
from nightrank.trainer.planning.scaling import Network, StepWork, efficiency, step_seconds
from nightrank.trainer.ranks.communicator import Communicator, SingleProcess
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.ranks.worlds import open_world

ITEMS: Final = 200_000
ROWS: Final = 64
WIDTH: Final = 64
SMALL: Final = 16
LARGE: Final = 1 << 20
"""Values of the two collectives that latency and bandwidth are fitted from."""
CALLS: Final = 5
GPUS: Final = (8, 64, 512)
LINKS: Final = {"25 Gbit/s": Network(20e-6, 25e9 / 8, 50e-6), "400 Gbit/s": Network(5e-6, 400e9 / 8, 50e-6)}
"""Of each GPU: latency of a message, bytes a second, seconds of a call. Assumed, not measured."""
GPU_FLOPS: Final = 0.3 * 990e12
"""bf16 operations a second that a GPU reaches: 30 % of an H100's 990e12. Assumed."""


def timed(call: Callable[[], Any], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def rank_main(backend: str, rounds: int, steps: int, out: Path) -> None:
    torch.set_num_threads(1)
    stay_on_one_core()
    keep_freed_memory()
    config = config_of(BACKENDS[backend], "shard", ROWS, WIDTH)
    world = open_world(config, Progress())
    alone, together = ours(config, SingleProcess(), ITEMS), ours(config, world, ITEMS)
    rows = [0]
    watch_rows(world, rows)
    numbers = iter(range(10**9))
    for _ in range(WARM):
        alone(next(numbers)), together(next(numbers))
    found = []
    for _ in range(rounds):
        world.barrier()
        meet = timed(world.barrier, CALLS)
        compute = timed(lambda: (alone(next(numbers)), world.barrier()), steps) - meet
        found.append({"compute": compute, "step": timed(lambda: together(next(numbers)), steps), **collectives(world)})
    told = world.gather(found)
    if world.rank == 0:
        dense = sum(parameter.numel() for parameter in dense_of(config)) * 4
        out.write_text(json.dumps({"rounds": merged(told), "rows": rows[0], "dense": dense}))


def watch_rows(world: Communicator, rows: list[int]) -> None:
    """`rows` learns how many rows of a table this rank's last step asked for."""
    plain = world.alltoall

    def alltoall(values: Any, counts: Any) -> Any:
        if values.dtype == torch.int64:
            rows[0] = len(values)
        return plain(values, counts)

    world.alltoall = alltoall  # type: ignore[method-assign]


def dense_of(config: Any) -> list[torch.nn.Parameter]:
    from nightrank.ranker.compose import compose
    from nightrank.ranker.inputs import ItemInputs

    ranker = compose(config.model, ItemInputs(10), 1)
    return [value for name, value in ranker.named_parameters() if value.requires_grad and "items.ids" not in name]


def collectives(world: Communicator) -> dict[str, float]:
    """Seconds of an exchange and of a sum, of few and of many values."""
    result = {}
    for name, size in (("small", SMALL), ("large", LARGE)):
        values = torch.ones(size // WIDTH * WIDTH or SMALL).view(-1, WIDTH if size > WIDTH else 1)
        counts = [len(values) // world.size] * (world.size - 1)
        counts.append(len(values) - sum(counts))
        result[f"alltoall_{name}"] = timed(lambda values=values, counts=counts: world.alltoall(values, counts), CALLS)
        result[f"sum_{name}"] = timed(lambda values=values: world.allreduce_sum(values), CALLS)
    return result


def merged(told: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    """Of each round the slowest rank."""
    return [{key: max(rank[number][key] for rank in told) for key in told[0][0]} for number in range(len(told[0]))]


def measured(backend: str, ranks: int, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out.json"
        arguments = ["--rank", backend, "--rounds", str(options.rounds), "--steps", str(options.steps), "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [*command_of(backend, ranks), "-m", "benchmarks.scaling_model", *arguments]
        subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
        body: dict[str, Any] = json.loads(out.read_text())
    middle = {key: median(each[key] for each in body["rounds"]) for key in body["rounds"][0]}
    return {**middle, "rows": body["rows"], "dense": body["dense"]}


def network_of(two: dict[str, Any]) -> Network:
    """What the collectives of two ranks give: half of the rows leave a rank, and as many bytes as a sum has."""
    half = 4 * LARGE / 2
    seconds = max(1e-9, two["alltoall_large"] - two["alltoall_small"])
    return Network(latency=0.0, bandwidth=half / seconds, call=two["alltoall_small"])


def compared(backend: str, options: argparse.Namespace) -> dict[str, Any]:
    found = {ranks: measured(backend, ranks, options) for ranks in (2, 4)}
    network = network_of(found[2])
    result: dict[str, Any] = {"call_ms": 1e3 * network.call, "mbyte_per_s": network.bandwidth / 1e6}
    for ranks, body in found.items():
        work = StepWork(body["compute"], body["dense"], body["rows"], 4 * WIDTH)
        predicted = step_seconds(work, network, ranks)
        seconds = {"compute_s": body["compute"], "predicted_s": predicted, "measured_s": body["step"]}
        result[f"ranks_{ranks}"] = {**seconds, "predicted_over_measured": predicted / body["step"]}
    return result


def large_clusters() -> dict[str, Any]:
    """A ranker of width 256 with four blocks, 128 rows of 200 events a GPU, 1,024 negatives, ten million items."""
    tokens, width, blocks, negatives = 128 * 200, 256, 4, 1024
    dense = 12 * width * width * blocks
    operations = 6 * tokens * (dense + negatives * width) + 12 * blocks * tokens * 200 * width
    work = StepWork(operations / GPU_FLOPS, 4 * dense, tokens + negatives, 4 * width)
    whole = StepWork(work.compute, 4 * (dense + 10_000_000 * width))
    return {
        "compute_ms": 1e3 * work.compute,
        **{
            f"{ranks} GPUs, {name}": {
                "step_ms": 1e3 * step_seconds(work, link, ranks),
                "efficiency": efficiency(work, link, ranks),
                "step_ms_dense_table": 1e3 * step_seconds(whole, link, ranks),
            }
            for ranks in GPUS
            for name, link in LINKS.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling_model", description=__doc__)
    parser.add_argument("--backends", nargs="*", default=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rank", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        rank_main(options.rank, options.rounds, options.steps, options.out)
        return
    before = machine(threads=1)
    by_backend = {backend: compared(backend, options) for backend in options.backends}
    ratios = [body[key]["predicted_over_measured"] for body in by_backend.values() for key in ("ranks_2", "ranks_4")]
    result = {
        "name": "scaling_model",
        "unit": "predicted over measured seconds of a step",
        "furthest": max(ratios, key=lambda ratio: abs(ratio - 1)),
        "equal": all(abs(ratio - 1) <= 0.2 for ratio in ratios),
        "by_backend": by_backend,
        "large_clusters": large_clusters(),
        "settings": {"rounds": options.rounds, "steps": options.steps, "rows": ROWS, "width": WIDTH, "items": ITEMS},
        "command": f"python -m benchmarks.scaling_model --rounds {options.rounds} --steps {options.steps} --out FILE",
        "machine": {**before, "load_after": round(os.getloadavg()[0], 2)},
    }
    tell(json.loads(json.dumps(result), parse_float=lambda text: round(float(text), 4)), options.out)


if __name__ == "__main__":
    main()
