"""Every accuracy table, one run after the other: `python -m benchmarks.accuracy.tables --data FOLDER [--only NAME ...]`.

FOLDER holds the public sets by name (`amazon-beauty/Beauty.txt`, `frappe_x1`). Each run is a process of its own and leaves
benchmarks/results/<name>.json; the whole takes hours on two cores. Peers are run where their environments are named:
`--peer-python rectools=ENV/bin/python replay=ENV/bin/python`.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.peers.process import add_pythons, pythons

RESULTS: Final = Path(__file__).parents[1] / "results"
SEEDS: Final = ("1", "2", "3")
BEAUTY: Final = ("transformer", "sasrec")
"""Ids alone, three seeds."""
BEAUTY_ONCE: Final = ("gru", "lstm", "hstu", "bert4rec", "towers", "towers_sigmoid", "mf", "gsasrec")
"""One seed."""
GAMES: Final[dict[str, tuple[str, ...]]] = {
    "id": ("trainer.model.item.use_text=false",),
    "id_whole_bias": ("trainer.model.item.use_text=false", "trainer.model.head.item_bias_served=1.0"),
    "text": ("trainer.model.item.use_id=false", "trainer.model.head.item_bias_served=0.7"),
    "frozen": (),
    "lora": ("trainer.model.item.text.name=lora", "trainer.model.item.text.items_per_step=24"),
}
"""What an item is made of -> settings over `amazon-games`."""
GAMES_MODELS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "jd_tower": (SEEDS, ()),
    "bert_behaviour": (("1",), ("trainer.fit.epochs=1",)),
}
"""Rankers that want texts -> seeds, and what their own file is changed in."""
CTR_RANKERS: Final[dict[str, tuple[str, ...]]] = {
    "lr": (),
    "dnn": (),
    "dcnv2": (),
    "finalmlp": (),
    "finalmlp_width_10": ("model.width=10",),
}
"""Name of a row, which begins with the model's -> settings."""
PEERS: Final[dict[str, tuple[str, ...]]] = {
    "rectools": ("--every", "3", "--patience", "3"),
    "replay": ("--every", "2"),
}
"""An epoch of RecTools is a minute and more: it is asked less often."""


def runs(data: Path, peers: dict[str, str]) -> dict[str, list[str]]:
    """name -> module and arguments."""
    frappe = ["benchmarks.accuracy.frappe", "--data", str(data / "frappe_x1")]
    ctr = {
        f"frappe_{name}": [*frappe, "--model", name.partition("_")[0], "--seeds", *SEEDS, *_set(changes)]
        for name, changes in CTR_RANKERS.items()
    }
    beauty = str(data / "amazon-beauty" / "Beauty.txt")
    theirs = {
        f"beauty_peer_{name}": [
            "benchmarks.accuracy.peer",
            "--peer",
            name,
            "--peer-python",
            python,
            "--data",
            beauty,
            *PEERS[name],
            "--seed",
            *SEEDS,
        ]
        for name, python in peers.items()
    }
    return {**_beauty(data / "amazon-beauty"), **_games(data / "amazon-games"), **ctr, **_pointwise(data), **theirs}


def _set(changes: tuple[str, ...]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def _beauty(folder: Path) -> dict[str, list[str]]:
    both = ["benchmarks.accuracy", "--data", str(folder / "Beauty.txt"), "--every", "2"]
    attributes = ["--attributes", str(folder / "Beauty_item2attributes.json"), "--name", "transformer, attributes"]
    ours = [*both, "--config", "models/transformer", "--seeds", *SEEDS, *attributes]
    table = {f"beauty_{name}": [*both, "--config", f"models/{name}", "--seeds", *SEEDS] for name in BEAUTY}
    once = {f"beauty_{name}": [*both, "--config", f"models/{name}", "--seeds", "1"] for name in BEAUTY_ONCE}
    ensemble = [*both, "--config", "models/ensemble", "--seeds", *SEEDS, *attributes[:2], "--name", "ensemble, attributes"]
    als = {"beauty_als": ["benchmarks.accuracy.als", "--data", str(folder / "Beauty.txt")]}
    return {**table, "beauty_transformer_attributes": ours, "beauty_ensemble_attributes": ensemble, **once, **als}


def _pointwise(data: Path) -> dict[str, list[str]]:
    rows = ["benchmarks.accuracy.pointwise", "--data"]
    attributes = ["--attributes", str(data / "amazon-beauty" / "Beauty_item2attributes.json")]
    return {
        "pointwise_beauty": [*rows, str(data / "amazon-beauty" / "Beauty.txt"), *attributes],
        "pointwise_movielens": [*rows, str(data / "ml-latest-small" / "ratings.csv")],
    }


def _games(folder: Path) -> dict[str, list[str]]:
    files = ["--data", str(folder / "sequences.txt"), "--titles", str(folder / "Games-6k.item")]
    strict = ["benchmarks.accuracy", *files, "--protocol", "strict", "--every", "3", "--config", "amazon-games"]
    table = {
        f"games_{name}": [*strict, "--seeds", "1", "--name", f"games_{name}", "--set", *changes]
        for name, changes in GAMES.items()
    }
    models = {
        f"games_{name}": [*strict, f"models/{name}", "--seeds", *seeds, "--set", *more]
        for name, (seeds, more) in GAMES_MODELS.items()
    }
    return table | models


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.tables", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of runs; all of them without it")
    add_pythons(parser)
    options = parser.parse_args()
    table = runs(options.data, pythons(parser, options))
    unknown = sorted(set(options.only or ()) - set(table))
    if unknown:
        parser.error(f"no run {', '.join(unknown)}; there are {', '.join(table)}")
    failed = 0
    for name, arguments in table.items():
        if options.only and name not in options.only:
            continue
        print(f"== {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", *arguments, "--out", str(RESULTS / f"{name}.json")]
        failed |= subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    raise SystemExit(main())
