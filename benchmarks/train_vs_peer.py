"""Training tokens a second on Amazon Beauty: ours beside a peer's SASRec, the same width, blocks, heads, softmax and batch.

`python -m benchmarks.train_vs_peer --peer rectools|replay --peer-python ENV/bin/python --data Beauty.txt [--rounds 5]`. Both
models train on from round to round, some steps of each in turn and our matrix products bare after ours (the limit), the peer
waiting in its own process meanwhile, all on the same pinned cores; the first round is not counted. Tokens are the positions
with a target, for both; losses are means over them with dropout on, after as many steps of batches each drew at random. Named
in the results: `train_tokens_vs_rectools`, `train_tokens_vs_replay`.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.accuracy.fit import CPU
from benchmarks.accuracy.sequences import Sequences, read_sequences, training_lines
from benchmarks.machine import machine
from benchmarks.peers.process import SCRIPTS, Message, Peer
from benchmarks.train_ours import OURS, RATE, Ours

PEERS: Final[dict[str, dict[str, Any]]] = {
    "rectools": {
        "n_factors": 128,
        "n_blocks": 2,
        "n_heads": 2,
        "dropout_rate": 0.2,
        "session_max_len": 50,
        "loss": "softmax",
        "batch_size": 128,
        "lr": RATE,
    },
    "replay": {
        "embedding_dim": 128,
        "num_blocks": 2,
        "num_heads": 2,
        "dropout": 0.2,
        "max_sequence_length": 50,
        "batch_size": 128,
        "lr": RATE,
        "bucket_size": 32,
        "first_target": False,
    },
}
"""As shipped. RePlay's length buckets are its own option; the target that it asks of padding is left out: ours has none."""


def settings_of(peer: str, precision: str) -> dict[str, Any]:
    """RePlay's buckets are for fp32: under autocast they write bf16 into an fp32 tensor, which torch refuses."""
    left_out = set() if precision == "32-true" else {"bucket_size"}
    return {name: value for name, value in PEERS[peer].items() if name not in left_out}


def race(data: Sequences, peer: Peer, rounds: int, steps: int, seed: int) -> dict[str, Any]:
    """Interleaved: fp32, our own precision, the products of both, the peer; `rounds` times after one that is not counted."""
    ours = {"fp32": Ours(data, "fp32", seed), "auto": Ours(data, "auto", seed)}
    seconds: dict[str, list[float]] = {name: [] for name in ("fp32", "auto", "limit_fp32", "limit_auto", "peer")}
    losses: dict[str, list[float]] = {name: [] for name in ("fp32", "auto", "peer")}
    tokens: dict[str, list[int]] = {name: [] for name in seconds}
    heard: Message = {}
    for number in range(rounds + 1):
        for name, one in ours.items():
            spent, loss, targets = one.train(steps)
            seconds[name].append(spent)
            losses[name].append(loss)
            tokens[name].append(targets)
            seconds[f"limit_{name}"].append(one.products.seconds())
            tokens[f"limit_{name}"].append(tokens[name][0])
        if number:
            peer.answer(keep=False, stop=False)
        heard = peer.hear()
        seconds["peer"].append(heard["seconds"][-1])
        losses["peer"].append(heard["losses"][-1])
        tokens["peer"].append(heard["targets"][-1])
        print(f"round {number}: { ({k: round(v[-1], 1) for k, v in seconds.items()}) } s", file=sys.stderr, flush=True)
    peer.answer(keep=False, stop=True)
    done = {"ours": ours["auto"].number, "peer": heard["steps"]}
    return {
        "seconds": seconds,
        "losses": losses,
        "steps": done,
        "tokens": tokens,
        "version": peer.hear()["version"],
    }


def summary(run: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Figures of a race: medians over the counted rounds, the last losses compared."""
    rate = {
        name: statistics.median(tokens / spent for tokens, spent in zip(run["tokens"][name][1:], values[1:], strict=True))
        for name, values in run["seconds"].items()
    }
    last = {name: values[-1] for name, values in run["losses"].items()}
    apart = {name: last[name] / last["peer"] - 1 for name in ("fp32", "auto")}
    same_steps = run["steps"]["ours"] == run["steps"]["peer"]
    return {
        "unit": "tokens/s",
        "ours": round(rate["auto"]),
        "ours_fp32": round(rate["fp32"]),
        "peer": round(rate["peer"]),
        "limit": round(rate["limit_auto"]),
        "limit_fp32": round(rate["limit_fp32"]),
        "ours_over_peer": round(rate["auto"] / rate["peer"], 3),
        "ours_fp32_over_peer": round(rate["fp32"] / rate["peer"], 3),
        "ours_over_limit": round(rate["auto"] / rate["limit_auto"], 3),
        "ours_fp32_over_limit": round(rate["fp32"] / rate["limit_fp32"], 3),
        "equal": same_steps and all(abs(value) <= tolerance for value in apart.values()),
        "equal_means": f"mean training loss of the last round within {tolerance:.0%} of the peer's, after as many steps",
        "loss_over_peer_less_1": {name: round(value, 4) for name, value in apart.items()},
        "steps": run["steps"],
        "tokens": run["tokens"],
        "seconds": {name: [round(value, 2) for value in values] for name, values in run["seconds"].items()},
        "losses": {name: [round(value, 4) for value in values] for name, values in run["losses"].items()},
        "peer_version": run["version"],
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = _options(arguments)
    os.sched_setaffinity(0, set(range(options.threads)))
    torch.set_num_threads(options.threads)
    before = machine(threads=options.threads, device=CPU.type)
    data, settings = read_sequences(options.data), settings_of(options.peer, options.peer_precision)
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder) / "train.txt"
        train.write_text(training_lines(data, 2))
        files = {"train": str(train), "known": None, "last_known": None}
        run = {"every": 1, "epochs": options.rounds + 2, "seed": options.seed, "threads": options.threads}
        order = {**files, **run, "steps": options.steps, "precision": options.peer_precision, "settings": settings}
        with Peer(options.peer_python, SCRIPTS[options.peer], order) as peer:
            figures = summary(race(data, peer, options.rounds, options.steps, options.seed), options.tolerance)
    names = ("peer", "rounds", "steps", "threads", "seed", "peer_precision")
    given = " ".join(f"--{name.replace('_', '-')} {getattr(options, name)}" for name in names)
    result = {
        "name": f"train_tokens_vs_{options.peer}",
        **figures,
        "precision": {"ours": "bf16 where the processor multiplies it", "ours_fp32": "fp32", "peer": options.peer_precision},
        "settings": {"ours": OURS, "peer": settings},
        "seed": options.seed,
        "command": f"python -m benchmarks.train_vs_peer {given} --data Beauty.txt --peer-python ENV/bin/python --out FILE",
        "machine": before,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_vs_peer", description=__doc__)
    parser.add_argument("--peer", choices=sorted(PEERS), required=True)
    parser.add_argument("--peer-python", type=Path, required=True, help="Python of the peer's own environment")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--threads", type=int, default=2, help="as many cores, from the first on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--peer-precision", default="32-true", help="Lightning's name: 32-true, bf16-mixed")
    parser.add_argument("--out", type=Path, help="benchmarks/results/NAME.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
