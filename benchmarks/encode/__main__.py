"""Texts a second through the packaged MiniLM: our encoder beside SentenceTransformer.encode, in fp32 and as each comes.

`python -m benchmarks.encode [--titles Games-6k.item] [--out FILE]`. The same texts, longest length, thread count and pinned
cores for all; a round is each of them in turn. `peer_bf16` is SentenceTransformer with its weights in bf16. The limit is the
model's linear products alone, over the tokens that are not padding. Ratios in CPU seconds are beside those in texts a second:
they hold on a busy machine. The figures go to benchmarks/results/encode_vs_sentence_transformers[_titles].json.
"""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sentence_transformers
import torch
import transformers
from transformers import AutoTokenizer

from benchmarks.encode.contestants import SEED, Run, generated, ours, peer, products, titles
from benchmarks.machine import machine
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from nightrank.spark_jobs.executor.encode import EncodeOptions

NAME: Final = "encode_vs_sentence_transformers"
RESULTS: Final = Path(__file__).parents[1] / "results"
Seconds = dict[str, list[float]]


def race(runs: dict[str, Run], texts: list[str], rounds: int) -> tuple[Seconds, Seconds]:
    """Wall and CPU seconds of each, round by round."""
    wall: Seconds = {recommender: [] for recommender in runs}
    cpu: Seconds = {recommender: [] for recommender in runs}
    for number in range(rounds):
        for recommender, run in runs.items():
            started, used = time.perf_counter(), time.process_time()
            run(texts)
            wall[recommender].append(round(time.perf_counter() - started, 3))
            cpu[recommender].append(round(time.process_time() - used, 3))
        print(
            f"round {number + 1}, CPU s: { ({recommender: s[-1] for recommender, s in cpu.items()}) }",
            file=sys.stderr,
            flush=True,
        )
    return wall, cpu


def main() -> dict[str, Any]:
    options = _options()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    versions = {"transformers": transformers.__version__, "sentence_transformers": sentence_transformers.__version__}
    before = machine(threads=options.threads, **versions)
    torch.set_num_threads(options.threads)
    settings = TextSettings(max_tokens=options.max_tokens)
    model = text_model(settings)
    assert model is not None  # the default encoder comes with the project
    folder = str(model.folder)
    default = EncodeOptions(folder, model.revision, settings.max_tokens, settings.batch_tokens, options.threads)
    fp32 = replace(default, bf16=False)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    texts = titles(options.titles, options.texts) if options.titles else generated(options.texts, tokenizer.get_vocab())
    runs = {
        "ours": ours(default),
        "ours_fp32": ours(fp32),
        "peer": peer(folder, settings.max_tokens, torch.float32, options.peer_batch),
        "peer_bf16": peer(folder, settings.max_tokens, torch.bfloat16, options.peer_batch),
    }
    wanted = runs["peer"](texts)
    cosines = {
        recommender: round(float((run(texts) * wanted).sum(1).min()), 6) for recommender, run in runs.items()
    }  # and all are warm
    wall, cpu = race(runs, texts, options.rounds)
    tokens = sum(min(len(ids), settings.max_tokens) for ids in tokenizer(texts, verbose=False)["input_ids"])
    limits = {"ours": products(default, tokens), "ours_fp32": products(fp32, tokens)}
    return {
        "name": _name(options),
        "command": " ".join(["python -m benchmarks.encode", *(Path(word).name for word in sys.argv[1:])]),  # no machine's paths
        "unit": "texts/s",
        **figures(len(texts), wall, cpu, limits),
        "lowest_cosine_with_peer": cosines,
        "equal": cosines["ours_fp32"] >= 0.9999 and cosines["ours"] >= 0.999,
        "seconds": wall,
        "cpu_seconds": cpu,
        "texts": len(texts),
        "tokens": tokens,
        "seed": SEED,
        "machine": before,
    }


def figures(texts: int, wall: Seconds, cpu: Seconds, limits: dict[str, float]) -> dict[str, Any]:
    rate = {recommender: texts / statistics.median(seconds) for recommender, seconds in wall.items()}
    used = {recommender: statistics.median(seconds) for recommender, seconds in cpu.items()}
    return {
        **{recommender: round(value, 1) for recommender, value in rate.items()},
        "limit": round(texts / limits["ours"], 1),
        "limit_fp32": round(texts / limits["ours_fp32"], 1),
        "ours_over_peer": round(rate["ours"] / rate["peer"], 2),
        "ours_over_peer_bf16": round(rate["ours"] / rate["peer_bf16"], 2),
        "ours_fp32_over_peer": round(rate["ours_fp32"] / rate["peer"], 2),
        "ours_over_limit": round(rate["ours"] * limits["ours"] / texts, 2),
        "ours_fp32_over_peer_cpu": round(used["peer"] / used["ours_fp32"], 2),
        "ours_over_peer_cpu": round(used["peer"] / used["ours"], 2),
        "ours_over_peer_bf16_cpu": round(used["peer_bf16"] / used["ours"], 2),
        "ours_over_limit_cpu": {recommender: round(spent / used[recommender], 2) for recommender, spent in limits.items()},
    }


def _name(options: argparse.Namespace) -> str:
    return f"{NAME}_titles" if options.titles else NAME


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--titles", type=Path, help="take the titles of this .item file instead of generated texts")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--peer-batch", type=int, default=32, help="32 is what encode() takes by itself")
    for name, default in (("texts", 600), ("rounds", 5), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    found = main()
    written = json.dumps(found, indent=2)
    (_options().out or RESULTS / f"{found['name']}.json").write_text(written + "\n")
    print(written)
