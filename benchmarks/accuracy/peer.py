"""A peer's accuracy in our harness: `python -m benchmarks.accuracy.peer --peer NAME --peer-python ENV/bin/python --data FILE`.

The peer trains in its own process by `peers.published`; its lists come back to be judged here, by the metrics, questions and
intervals of `benchmarks.accuracy`. Epochs are chosen on validation, every `--every` of them; test is read once a protocol. The
refit trains again on all but the last item for as many epochs as were best in the strict training of the same seed.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy.fit import KS, means
from benchmarks.accuracy.report import commit, figures, told
from benchmarks.accuracy.sequences import Protocol, Questions, Sequences, held_out, known_lines, questions, read_sequences
from benchmarks.accuracy.sequences import training_lines as lines
from benchmarks.peers.process import SCRIPTS, Message, Peer
from benchmarks.peers.published import RECIPES
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.metrics.ranking import per_row

LENGTH = max(KS)
Run = dict[str, Any]


class Judge:
    """Says of every report whether its weights are the best so far and whether to continue."""

    def __init__(self, queries: Questions, patience: int, minutes: float) -> None:
        self.curve: list[dict[str, float]] = []
        self.best_epoch, self.best, self.bad, self.stopped = 0, -1.0, 0, "epochs"
        self._queries, self._patience, self._minutes, self._started = queries, patience, minutes, time.monotonic()

    def __call__(self, heard: Message) -> tuple[bool, bool]:
        figures = means(judged(heard["lists"], self._queries))
        spent = sum(heard["seconds"]) / 60
        self.curve.append({"epoch": heard["epoch"], "minutes": spent, "loss": heard["losses"][-1], **figures})
        told = ", ".join(f"{name} {figures[name]:.4f}" for name in ("recall@10", "ndcg@10"))
        print(f"epoch {heard['epoch']}: {spent:.1f} min, loss {heard['losses'][-1]:.4f}, {told}", file=sys.stderr, flush=True)
        keep = figures["ndcg@10"] > self.best
        self.bad = 0 if keep else self.bad + 1
        if keep:
            self.best, self.best_epoch = figures["ndcg@10"], heard["epoch"]
        if self.bad >= self._patience:
            self.stopped = "patience"
        elif time.monotonic() - self._started > self._minutes * 60:
            self.stopped = "minutes"
        return keep, self.stopped != "epochs"


def judged(lists: dict[str, list[int]], queries: Questions) -> dict[str, np.ndarray]:
    """Each metric by user. A user without a list has hit nothing. DataContractError where a list holds what was seen."""
    users, history = queries.history.users_B.tolist(), queries.history
    ids_BK = np.zeros((len(users), LENGTH), np.int64)
    for row, user in enumerate(users):
        listed = lists.get(str(user), [])[:LENGTH]
        ids_BK[row, : len(listed)] = listed
    span = 1 + max(int(ids_BK.max()), int(history.items_T.max()))
    seen = history.row_T.numpy() * span + history.items_T.numpy()
    found = np.isin(np.arange(len(users))[:, None] * span + ids_BK, seen)
    if found.any():
        first = users[int(found.argmax()) // LENGTH]
        raise DataContractError(
            f"{int(found.sum())} listed items are in their user's history, first of user {first}",
            "have the peer filter what was seen",
        )
    target = queries.target_B.numpy()
    return per_row(ids_BK, target, np.arange(len(target) + 1), KS)


def one(protocol: Protocol, data: Sequences, seed: int, epochs: int, options: argparse.Namespace) -> Run:
    """Trained by the protocol for at most `epochs`; the refit is not validated."""
    strict = protocol == "strict"
    queries, test = questions(data, 2, 2), questions(data, 1, 1)
    judge = Judge(queries, options.patience, options.minutes)
    with tempfile.TemporaryDirectory() as folder:
        texts = {"train": lines(data, held_out(protocol)), "known": known_lines(queries), "last_known": known_lines(test)}
        files = {name: str(Path(folder) / f"{name}.txt") for name in texts}
        for name, text in texts.items():
            Path(files[name]).write_text(text)
        order = {**files, "every": options.every if strict else 0, "epochs": epochs, "seed": seed}
        run = {"threads": options.threads, "precision": options.precision, "settings": RECIPES[options.peer].settings}
        with Peer(options.peer_python, SCRIPTS[options.peer], {**order, **run}) as peer:
            done = peer.finish(judge)
    tested = {"of": test.users, **figures(judged(done["lists"], test), seed)}
    print(f"seed {seed}, {protocol}: test {told(tested)}", file=sys.stderr, flush=True)
    return {
        "protocol": protocol,
        "seed": seed,
        "epoch": done["epoch"],
        "stopped": judge.stopped,
        "minutes": round(sum(done["seconds"]) / 60, 2),
        "parameters": done["parameters"],
        "version": done["version"],
        "losses": [round(value, 5) for value in done["losses"]],
        "validation": judge.curve,
        "test": tested,
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    data, recipe = read_sequences(options.data), RECIPES[options.peer]
    result: dict[str, Any] = {
        "name": options.name or f"beauty_peer_{options.peer}",
        "data": options.data.parent.name,
        "users": data.users,
        "items": data.items,
        "settings": recipe.settings,
        "source": recipe.source,
        "precision": options.precision,
        "public": recipe.public,
        "command": "python -m benchmarks.accuracy.peer " + _named(options),
        "commit": commit(),
        "machine": f"{platform.machine()}, {options.threads} threads",
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runs": [],
    }
    for seed in options.seed:
        epochs = options.epochs
        for protocol in sorted(options.protocol, reverse=True):  # strict first: it says for how long the refit trains
            run = one(protocol, data, seed, epochs or recipe.epochs, options)
            result["runs"].append(run)
            epochs = run["epoch"]
            if options.out:  # what is done stays, whatever comes after
                options.out.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _named(options: argparse.Namespace) -> str:
    """What to type again, less this machine's paths."""
    given = {"protocol": " ".join(options.protocol), "seed": " ".join(map(str, options.seed)), "precision": options.precision}
    given |= {name: getattr(options, name) for name in ("every", "patience", "minutes", "epochs", "threads")}
    told = " ".join(f"--{name} {value}" for name, value in given.items() if value is not None)
    return f"--peer {options.peer} {told} --data Beauty.txt --peer-python ENV/bin/python --out FILE"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.peer", description=__doc__)
    parser.add_argument("--peer", choices=sorted(RECIPES), required=True)
    parser.add_argument("--peer-python", type=Path, required=True, help="Python of the peer's own environment")
    parser.add_argument("--data", type=Path, required=True, help="file of `user item item ...` lines")
    parser.add_argument("--protocol", nargs="*", choices=["strict", "refit"], default=["strict", "refit"])
    parser.add_argument("--seed", nargs="*", type=int, default=[1])
    parser.add_argument("--every", type=int, default=3, help="validate after so many epochs")
    parser.add_argument("--patience", type=int, default=3, help="validations without a better one that end it")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="at most about so many a strict training")
    parser.add_argument("--epochs", type=int, help="at most so many; exactly so many for a refit alone")
    parser.add_argument("--precision", default="bf16-mixed", help="Lightning's name: 32-true, bf16-mixed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", help="name in the table")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
