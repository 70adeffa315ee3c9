"""Every named click ranker on rows made of a history: `python -m benchmarks.accuracy.pointwise --data FILE --out FILE`.

FILE is a sequence set (`user item item ...` a line) or MovieLens' `ratings.csv`. A row asks whether a user continues with an
item, given what came before; beside each one that did stands one that the user never had, drawn uniformly (as for DIN, Zhou et
al. 2018). A user's newest item is asked for in test, the one before in validation, all others but the first in training.
Ratings ask for a second answer, of items that were rated: whether with four stars or more.
"""

import argparse
import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.accuracy.attributes import read_attributes
from benchmarks.accuracy.ctr import one_seed, settings
from benchmarks.accuracy.report import commit
from benchmarks.accuracy.sequences import Sequences, read_sequences
from benchmarks.machine import machine
from nightrank.feature_store.contracts.files import write_json
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, FieldShape
from nightrank.trainer.data.rows import offsets_of, token_index
from nightrank.trainer.ranks.device import Device, make_deterministic, multiplies_in_bf16

MODELS: Final = ("lr", "dnn", "dcnv2", "finalmlp", "din", "mmoe")
LIKED: Final = 4.0
"""Stars."""
SLOTS: Final = 3
"""An item's attributes that are read, each a field."""
LONGEST: Final = 50
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Histories:
    sequences: Sequences
    liked_T: npt.NDArray[np.float32] | None = None
    attributes_IS: Integers | None = None
    """[items + 1, SLOTS] codes, 0 for none."""

    @property
    def shapes(self) -> CtrShapes:
        sizes = {"user": self.sequences.users + 1, "item": self.sequences.items + 1}
        if self.attributes_IS is not None:
            sizes |= {f"attribute_{slot}": int(self.attributes_IS[:, slot].max()) + 1 for slot in range(SLOTS)}
        fields = tuple(FieldShape(name=name, size=size) for name, size in sizes.items())
        return CtrShapes(fields=fields, labels=("next",) if self.liked_T is None else ("next", "liked"), history="item")


def read(path: Path, attributes: Path | None) -> Histories:
    if path.suffix == ".csv":
        return _ratings(path)
    data = read_sequences(path)
    codes = None if attributes is None else read_attributes(attributes, data).numpy()[:, :SLOTS]
    return Histories(data, None, codes)


def _ratings(path: Path) -> Histories:
    with path.open(newline="") as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: (int(row["userId"]), int(row["timestamp"]), int(row["movieId"])))
    _, items = np.unique([int(row["movieId"]) for row in rows], return_inverse=True)
    _, lengths = np.unique([int(row["userId"]) for row in rows], return_counts=True)
    liked = np.array([float(row["rating"]) >= LIKED for row in rows], np.float32)
    return Histories(Sequences(int(items.max()) + 1, items.astype(np.int64) + 1, offsets_of(lengths)), liked)


def parts_of(made: Histories, seed: int) -> dict[str, ImpressionBatch]:
    """Rows of train, valid and test. An item without a training row is code 0 and is never drawn."""
    data, rng = made.sequences, np.random.default_rng(seed)
    lengths = data.lengths
    user_T = np.repeat(np.arange(data.users), lengths)
    place_T = np.arange(len(data.flat)) - np.repeat(data.offsets[:-1], lengths)
    back_T = lengths[user_T] - place_T
    places = {
        "train": (place_T > 0) & (back_T > 2),
        "valid": (place_T > 0) & (back_T == 2),
        "test": (place_T > 0) & (back_T == 1),
    }
    known_I = np.bincount(data.flat[back_T > 2], minlength=data.items + 1) > 0
    had = np.unique(user_T * (data.items + 1) + data.flat)
    return {part: _rows(made, np.flatnonzero(mask_T), user_T, known_I, had, rng) for part, mask_T in places.items()}


def _rows(
    made: Histories,
    place_N: Integers,
    user_T: Integers,
    known_I: npt.NDArray[np.bool_],
    had: Integers,
    rng: np.random.Generator,
) -> ImpressionBatch:
    """Two rows for every place asked for: the item that is there, and one that its user never had."""
    data = made.sequences
    users_N, items_N = user_T[place_N], data.flat[place_N]
    others_N = _never_had(users_N, had, data.items, np.flatnonzero(known_I), rng)
    users, items = np.concatenate([users_N, users_N]), np.concatenate([items_N, others_N])
    columns = [users + 1, items * known_I[items]]
    if made.attributes_IS is not None:
        columns += list(made.attributes_IS[items].T)
    labels = [np.repeat([1.0, 0.0], len(place_N))]
    if made.liked_T is not None:
        labels.append(np.concatenate([made.liked_T[place_N], np.full(len(place_N), np.nan)]))
    first_N = np.maximum(data.offsets[users_N], place_N - LONGEST)
    starts, past = np.tile(first_N, 2), np.tile(place_N - first_N, 2)
    history_T = data.flat[token_index(starts, past)]
    return ImpressionBatch(
        codes_BF=torch.from_numpy(np.stack(columns, axis=1)),
        numeric_BD=torch.zeros(len(users), 0),
        labels_BA=torch.from_numpy(np.stack(labels, axis=1).astype(np.float32)),
        weight_B=torch.ones(len(users)),
        history_T=torch.from_numpy(history_T * known_I[history_T]),
        offsets_B1=torch.from_numpy(offsets_of(past)),
    )


def _never_had(users_N: Integers, had: Integers, items: int, known: Integers, rng: np.random.Generator) -> Integers:
    """[N] items of the training rows, drawn again where the user had them."""
    drawn_N = rng.choice(known, len(users_N))
    while (again_N := np.isin(users_N * (items + 1) + drawn_N, had)).any():
        drawn_N[again_N] = rng.choice(known, int(again_N.sum()))
    return drawn_N


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    made = read(options.data, options.attributes)
    device = Device(torch.device("cpu"), multiplies_in_bf16(torch.device("cpu")))
    make_deterministic(device)
    rows = parts_of(made, options.seed)
    result: dict[str, Any] = {
        "name": options.name or f"pointwise_{options.data.parent.name}",
        "rows": {part: batch.rows for part, batch in rows.items()},
        "machine": machine(threads=torch.get_num_threads()),
        "commit": commit(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": _command(options),
        "runs": [],
    }
    for name in options.models:
        config = settings(name, options.overrides)
        run = {"model": name, **one_seed(config, rows, made.shapes, options.seed, device)}
        result["runs"].append({**run, "settings": config.model_dump(mode="json")})
        if options.out:  # what is done stays, whatever comes after
            write_json(options.out, result)
    return result


def _command(options: argparse.Namespace) -> str:
    """What to type again, less this machine's paths."""
    changed = "".join(f" --set {text}" for text in options.overrides)
    given = f" --attributes {options.attributes.name}" if options.attributes else ""
    models = " ".join(options.models)
    return (
        f"python -m benchmarks.accuracy.pointwise --data {options.data.name}{given} --models {models} --seed {options.seed}"
        f"{changed} --threads {options.threads} --out FILE"
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.pointwise", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--attributes", type=Path, help="JSON of item id to codes, for a sequence set")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="overrides", help="of section clicks")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", help="name in the table")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
