"""What keeps a night from forgetting: `python -m benchmarks.forgetting --data FOLDER --periods 16 --config ... --out FILE`.

FOLDER has period_0.txt, period_1.txt and on. Every way begins with the same model of period 0 and is asked about period t
before it learns it, t = 1 to --periods. Epochs are fixed: no night has validation rows, unlike ADER's own runs, which stop
early. One JSON object to stdout (and to --out), progress to stderr.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.forgetting.nights import Model, Way, first_model, measure, next_model
from benchmarks.forgetting.periods import Period, read_period
from benchmarks.machine import machine
from nightrank.feature_store.contracts.config import merged, validate
from nightrank.pipeline.config import find
from nightrank.trainer.config.training import DistillationConfig, TrainerConfig


def ways(weight: float, anchor: float) -> dict[str, Way]:
    fixed, adaptive = (DistillationConfig(weight=weight, adaptive=adapts) for adapts in (False, True))
    return {
        "finetune": Way(dropout=False),
        "dropout": Way(),
        "dropout, fresh optimizer": Way(fresh_optimizer=True),
        "dropout, L2": Way(anchor=anchor),
        "dropout, a quarter of the learning rate": Way(rate=0.25),
        "dropout, four times the learning rate": Way(rate=4.0),
        "uniform": Way(replay="uniform"),
        "reservoir": Way(replay="reservoir"),
        "exemplars": Way(replay="exemplars"),
        "exemplars, distillation": Way(replay="exemplars", distillation=fixed),
        "exemplars, adaptive distillation": Way(replay="exemplars", distillation=adaptive),
        "exemplars, adaptive distillation, L2": Way(replay="exemplars", distillation=adaptive, anchor=anchor),
        "joint": Way(joint=True),
    }


NAMES: Final = tuple(ways(1.0, 1.0))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    config = validate(TrainerConfig, merged([find(name) for name in options.config], options.set).get("trainer", {}))
    periods = read_periods(options.data, options.periods)
    chosen = {name: way for name, way in ways(options.weight, options.anchor).items() if name in options.ways}
    started = first_model(config, periods[:1], options.seed)
    result: dict[str, Any] = {
        "data": options.data.name,
        "periods": options.periods,
        "seed": options.seed,
        "events": options.events,
        "again": options.again,
        "machine": machine(),
        "trainer": config.model_dump(mode="json", include={"model", "loss", "optimizer", "fit", "night", "batch_rows"}),
        "ways": {},
    }
    first = measure(config, started.ranker, periods[1])
    result["period_0_before"] = measure(config, started.ranker, periods[0].every(options.again))
    for name, way in chosen.items():
        result["ways"][name] = run(config, name, way, started, first, periods, options)
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return result


def run(
    config: TrainerConfig,
    name: str,
    way: Way,
    started: Model,
    first: dict[str, float],
    periods: list[Period],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Figures of every period and their plain mean, `first` being the same for all ways; and what the last model still knows of
    period 0, on one in `--again` of its sessions."""
    model, figures, seconds = started, [], 0.0
    for t in range(1, len(periods)):
        if t > 1:
            began = time.perf_counter()
            model = next_model(config, way, model, periods[: t - 1], periods[t - 1], options.events, options.seed)
            seconds += time.perf_counter() - began
        figures.append({"period": t, **(first if t == 1 else measure(config, model.ranker, periods[t]))})
        told = ", ".join(f"{key} {value:.2f}" for key, value in figures[-1].items())
        print(f"{name}: {told}, {seconds:.0f} s of training", file=sys.stderr, flush=True)
    later = [row for row in figures if row["period"] > 1]
    return {
        "way": {**vars(way), "distillation": None if way.distillation is None else way.distillation.model_dump()},
        "seconds": round(seconds, 1),
        "figures": figures,
        "mean": _means(figures),
        "mean_after_a_night": _means(later),
        "period_0_again": measure(config, model.ranker, periods[0].every(options.again)),
    }


def read_periods(folder: Path, last: int) -> list[Period]:
    periods: list[Period] = []
    for number in range(last + 1):
        periods.append(read_period(folder / f"period_{number}.txt", int(periods[-1].sessions.max()) if periods else 0))
    return periods


def _means(figures: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in figures) / len(figures) for name in ("recall@20", "mrr@20")} if figures else {}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forgetting", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of period_N.txt files")
    parser.add_argument("--periods", type=int, default=16, help="the last period that is asked about")
    parser.add_argument("--config", nargs="*", default=[], help="configuration files, as `nightrank full --config` takes them")
    parser.add_argument("--set", nargs="*", default=[], help="trainer.key=value")
    parser.add_argument("--ways", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--events", type=int, default=30_000, help="labels to replay, as training_set.replay_events")
    parser.add_argument("--weight", type=float, default=0.8, help="of distillation")
    parser.add_argument("--anchor", type=float, default=1e-3, help="of the L2 penalty")
    parser.add_argument("--again", type=int, default=4, help="one in so many of period 0's sessions is asked again at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
