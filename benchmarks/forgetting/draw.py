"""The ablation as a table and a picture: `python -m benchmarks.forgetting.draw RESULT [--out PICTURE]`."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

NEW, OLD, LINE = "#1f5fa8", "#8a8f98", "#b3402e"
BARS: Final = (("mean_after_a_night", "the next period", NEW), ("period_0_again", "period 0 again", OLD))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forgetting.draw", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = json.loads(options.result.read_text())
    print(table(result))
    if options.out is not None:
        picture(result).savefig(options.out, dpi=130)


def table(result: dict[str, Any]) -> str:
    lines = ["| a night | next period: Recall@20 | MRR@20 | period 0 again: Recall@20 | MRR@20 |", "|---|---|---|---|---|"]
    for name, way in result["ways"].items():
        cells = [f"{way[part][metric]:.2f}" for part, _, _ in BARS for metric in ("recall@20", "mrr@20")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(result: dict[str, Any]) -> Figure:
    """Recall@20 of each way: of the period after each night, and of the first period after the last night."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    names = list(result["ways"])
    for axes, (part, title, colour) in zip(figure.subplots(1, 2, sharey=True), BARS, strict=True):
        axes.barh(names, [result["ways"][name][part]["recall@20"] for name in names], color=colour)
        axes.set_title(f"Recall@20, {title}")
        axes.spines[["top", "right"]].set_visible(False)
        if part == "period_0_again":
            before = result["period_0_before"]["recall@20"]
            axes.axvline(before, color=LINE, linestyle="--", linewidth=1, label="before the first night")
            axes.legend(loc="lower right", fontsize=8)
    figure.axes[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    main()
