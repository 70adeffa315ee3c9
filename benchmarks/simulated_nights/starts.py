"""How a night's new items start: `python -m benchmarks.simulated_nights.starts --out FILE`.

Every night the model of the days before gets rows for the items that the day brought, from their titles, from the mean of their
category, from the mean of all items, or zeros. It is then asked who looked at them: `first_day` before it learns the day, and
`next_day` after a fine-tune on it. Lists are over the whole catalogue. The way goes on with the start from titles. Once with a
ranker that reads titles and categories, and once with ids alone, which has no start but the last two.
"""

import argparse
import json
import sys
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
import torch

from benchmarks.forgetting.nights import Model, Way, grown, longest, trained, tuned
from benchmarks.simulated_nights.__main__ import described, parsed, prepared, trainer_config
from benchmarks.simulated_nights.figures import difference, mean, ndcg_B
from benchmarks.simulated_nights.market import Content, Market
from benchmarks.simulated_nights.rows import full_rows, night_rows, questions, replayed_rows
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.model import IDS
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.incremental.growth import longer_moments

Start = Literal["text", "category", "mean", "zero"]
WITH_CONTENT: Final[tuple[Start, ...]] = ("text", "category", "mean", "zero")
IDS_ALONE: Final[tuple[Start, ...]] = ("mean", "zero")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parsed(
        arguments, argparse.ArgumentParser(prog="python -m benchmarks.simulated_nights.starts", description=__doc__)
    )
    torch.set_num_threads(options.threads)
    config = trainer_config(options)
    shop, known = prepared(options)
    result = described(options, config)
    result["titles_and_categories"] = _rankers(config, WITH_CONTENT, shop, known, options)
    result["ids_alone"] = _rankers(ids_alone(config), IDS_ALONE, shop, known, options)
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return result


def _rankers(
    config: TrainerConfig, starts: tuple[Start, ...], shop: Market, known: Content, options: argparse.Namespace
) -> dict[str, Any]:
    length, day = longest(config), options.history - 1
    model = trained(config, known.inputs(shop, day), full_rows(shop, day, length), 1)
    found: dict[str, dict[Start, list[np.ndarray]]] = {
        when: {start: [] for start in starts} for when in ("first_day", "next_day")
    }
    for day in range(options.history, options.history + options.nights):
        new = {"first_item": shop.items(day - 1) + 1, "last_item": shop.items(day)}
        queries = {"first_day": questions(shop, day, length, **new), "next_day": questions(shop, day + 1, length, **new)}
        models = {}
        for start in starts:
            first = started(config, model, shop, known, day, start)
            models[start] = night(config, first, shop, known, day, options)
            found["first_day"][start].append(ndcg_B(config, first.ranker, queries["first_day"]))
            found["next_day"][start].append(ndcg_B(config, models[start].ranker, queries["next_day"]))
        model = models[starts[0]]
        print(f"night {day - options.history + 1}: {len(queries['first_day'].users)} rows", file=sys.stderr, flush=True)
    return {when: _told({start: np.concatenate(parts) for start, parts in rows.items()}) for when, rows in found.items()}


def _told(by_start: dict[Start, np.ndarray]) -> dict[str, Any]:
    first = next(iter(by_start))
    against = {f"{first} less {start}": difference(by_start[first], rows) for start, rows in by_start.items() if start != first}
    return {"ndcg@10": {start: mean(rows) for start, rows in by_start.items()}, "in_pairs": against}


def started(config: TrainerConfig, model: Model, shop: Market, known: Content, day: int, start: Start) -> Model:
    """Rows for the items of the day, nothing learnt. Old rows are the same bits."""
    inputs = known.inputs(shop, day, since=day + 1)
    old = model.ranker.shapes.items + 1
    if start == "category":
        inputs = _without_text(inputs, old)
    ranker = grown(config, Way(), model.ranker, inputs)
    if start == "category" and ranker.items.text is not None:
        ranker.items.text_matrix = known.inputs(shop, day).text
    if start in ("mean", "zero"):
        with torch.no_grad():
            table = ranker.get_parameter(IDS)
            table[old:] = table[1:old].mean(0) if start == "mean" else 0.0
    return Model(ranker, longer_moments(model.moments, model.ranker.shapes, ranker.shapes))


def _without_text(inputs: ItemInputs, old: int) -> ItemInputs:
    """New items as if they had no title, for the start of their ids."""
    assert inputs.text is not None
    text = inputs.text.clone()
    text[old:] = 0
    return replace(inputs, text=text)


def night(config: TrainerConfig, first: Model, shop: Market, known: Content, day: int, options: argparse.Namespace) -> Model:
    length = longest(config)
    replay = replayed_rows(shop, day, "reservoir", options.events, length, 1)
    return tuned(
        config, Way(replay="reservoir"), first, known.inputs(shop, day, since=day), night_rows(shop, day, length), replay, 1
    )


def ids_alone(config: TrainerConfig) -> TrainerConfig:
    item = config.model.item.model_copy(update={"use_text": False, "use_categories": False})
    return config.model_copy(update={"model": config.model.model_copy(update={"item": item})})


if __name__ == "__main__":
    main()
