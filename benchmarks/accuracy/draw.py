"""Accuracy results as a table and a picture: `python -m benchmarks.accuracy.draw [--results FOLDER] [--out docs]`.

Reads `beauty_*.json` and `games_*.json` as the accuracy runs left them. Prints the tables as markdown and writes
`accuracy-beauty.png` and `accuracy-games.png`: NDCG@10 of each seed with its 95 % interval, published figures as lines.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.paired import by_user
from benchmarks.accuracy.report import DRAWS, SHOWN
from nightrank.trainer.evaluation.bootstrap import percentile_interval, resampled_means

RESULTS: Final = Path(__file__).parents[1] / "results"
DOCS: Final = Path(__file__).parents[2] / "docs"
PUBLISHED: Final = {"strict": {"DuoRec": 0.0443}, "refit": {"eSASRec's SASRec": 0.0531}}
"""NDCG@10 on Amazon Beauty (benchmarks page of the design)."""
OURS, PEER, LINE = "#1f5fa8", "#8a8f98", "#b3402e"

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.draw", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=DOCS)
    options = parser.parse_args()
    beauty = read_results(options.results, "beauty_*.json")
    games = read_results(options.results, "games_*.json")
    if beauty:
        print(table(beauty, "test"))
        picture(beauty, ("strict", "refit"), "test").savefig(options.out / "accuracy-beauty.png", dpi=130)
    if games:
        print(table(games, "test"))
        print("Items of at most five training events:\n")
        print(table(games, "cold_items"))
        picture(games, ("strict",), "cold_items").savefig(options.out / "accuracy-games.png", dpi=130)


def read_results(folder: Path, pattern: str) -> list[Result]:
    """Results that hold a test, best strict NDCG@10 first."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob(pattern))]
    found = [result for result in found if any("test" in run for run in result["runs"])]
    return sorted(found, key=lambda result: -mean(runs_of(result, "strict"), "test", "ndcg@10"))


def runs_of(result: Result, protocol: str) -> list[Result]:
    return [run for run in result["runs"] if run["protocol"] == protocol and "test" in run]


def mean(runs: Sequence[Result], part: str, metric: str) -> float:
    """Over seeds; -1 without a run."""
    return sum(run[part][metric] for run in runs) / len(runs) if runs else -1.0


def table(results: Sequence[Result], part: str) -> str:
    """One row a model and protocol: means over seeds with the interval of that mean (bootstrap of users, each one's value being
    the mean over seeds); the widest of the seeds' intervals where ranks were not kept."""
    heads = ("model", "protocol", "seeds", "Recall@10", "NDCG@10", "epochs", "minutes", "parameters")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for result in results:
        for protocol in ("strict", "refit"):
            runs = runs_of(result, protocol)
            if runs:
                cells = _estimates(runs, by_user(result, protocol, part), part)
                epochs, minutes = _range(runs, "epoch", 0), _range(runs, "minutes", 1)
                row = [_named(result), protocol, str(len(runs)), *cells, epochs, minutes, f"{runs[0]['parameters']:,}"]
                lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _named(result: Result) -> str:
    """A peer's result has the published figure beside it."""
    name = str(result["name"]).removeprefix("beauty_").removeprefix("games_")
    return f"{name.removeprefix('peer_')} (peer)" if "public" in result else name


def _estimates(runs: Sequence[Result], kept: np.ndarray, part: str) -> list[str]:
    """Of each metric; `kept` [users, metrics] has no rows where ranks are missing."""
    if len(kept):
        resampled = resampled_means(kept, 1, DRAWS)
        bounds = [percentile_interval(resampled[:, place], 0.95) for place in range(len(SHOWN))]
    else:
        each = [[run[part]["intervals"][metric] for run in runs] for metric in SHOWN]
        bounds = [(min(low for low, _ in found), max(high for _, high in found)) for found in each]
    means = [_short(mean(runs, part, metric)) for metric in SHOWN]
    return [f"{value} [{_short(low)}, {_short(high)}]" for value, (low, high) in zip(means, bounds, strict=True)]


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _range(runs: Sequence[Result], key: str, digits: int) -> str:
    values = sorted(run[key] for run in runs if run.get(key) is not None)
    if not values:
        return ""
    first, last = f"{values[0]:.{digits}f}", f"{values[-1]:.{digits}f}"
    return first if first == last else f"{first} to {last}"


def picture(results: Sequence[Result], protocols: Sequence[str], part: str) -> Figure:
    """A panel a protocol, a row a model, a dot a seed."""
    figure = Figure(figsize=(5.6 * len(protocols), 0.42 * len(results) + 1.3), layout="constrained")
    for axes, protocol in zip(figure.subplots(1, len(protocols), squeeze=False)[0], protocols, strict=True):
        shown = [result for result in results if runs_of(result, protocol)]
        for place, result in enumerate(reversed(shown)):
            _row(axes, place, runs_of(result, protocol), part, PEER if "public" in result else OURS)
        axes.set_yticks(range(len(shown)), [_named(result) for result in reversed(shown)])
        axes.set_xlabel(f"NDCG@10, {protocol}")
        highest = max(run[part]["intervals"]["ndcg@10"][1] for result in shown for run in runs_of(result, protocol))
        axes.set_xlim(0, 1.06 * highest)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        for name, value in PUBLISHED.get(protocol, {}).items() if part == "test" and "beauty" in results[0]["data"] else ():
            axes.axvline(value, color=LINE, linewidth=1, linestyle="--", label=f"published: {name} {_short(value)}")
            axes.legend(frameon=False, fontsize=8, loc="lower right")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#e3e6ea", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure


def _row(axes: Axes, place: int, runs: Sequence[Result], part: str, colour: str) -> None:
    for number, run in enumerate(runs):
        low, high = run[part]["intervals"]["ndcg@10"]
        y = place + (number - (len(runs) - 1) / 2) * 0.2
        axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
        axes.plot([run[part]["ndcg@10"]], [y], "o", color=colour, markersize=4)


if __name__ == "__main__":
    main()
