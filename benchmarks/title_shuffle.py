"""Does item text carry anything? The same data set trained twice, once with the titles assigned to other items.

`python -m benchmarks.title_shuffle --sequences sequences.txt --titles Games-6k.item --root FOLDER [--config amazon-games]`.
FOLDER/true and FOLDER/shuffled are lakes; a full run that is done there is used as it is. Prints NDCG and recall of both models
on all rows and on cold items (at most five training events), with the intervals of result.json.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

SHOWN = ("all", "cold_items")
SEED = 17


def shuffled_titles(titles: Path, out: Path) -> Path:
    """The same items and the same titles, in another pairing; the header stays."""
    with open(titles, newline="") as file:
        header, *rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    words = [row[1:] for row in rows]
    random.Random(SEED).shuffle(words)
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(header), *("\t".join([row[0], *assigned]) for row, assigned in zip(rows, words, strict=True))]
    out.write_text("\n".join(lines) + "\n")
    return out


def nightrank(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-2000:]}")
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def run(root: Path, sequences: Path, titles: Path, config: str) -> list[dict[str, Any]]:
    finished = sorted(root.glob("runs/full-*/result.json"))
    if finished and json.loads(finished[-1].read_text())["status"] == "done":
        result = json.loads(finished[-1].read_text())
    else:
        if not (root / "landing").exists():
            nightrank("import", "sequences", "--input", str(sequences), "--titles", str(titles), "--root", str(root))
        result = nightrank("full", "--root", str(root), "--config", config)
    return [
        row
        for row in result["metrics"]
        if (row["split"], row["k"]) == ("test", 10) and row["slice"] in SHOWN and row["name"] in ("ndcg", "recall")
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--titles", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--config", default="amazon-games")
    options = parser.parse_args()
    assigned = shuffled_titles(options.titles, options.root / "shuffled.item")
    found = {
        "true": run(options.root / "true", options.sequences, options.titles, options.config),
        "shuffled": run(options.root / "shuffled", options.sequences, assigned, options.config),
    }
    model = {
        name: {f"{r['slice']} {r['name']}@10": [r["value"], r["ci"], r["n"]] for r in rows if r["recommender"] == "challenger"}
        for name, rows in found.items()
    }
    print(json.dumps(model, indent=2))
    return 0 if model["shuffled"]["cold_items ndcg@10"][0] < model["true"]["cold_items ndcg@10"][0] else 1


if __name__ == "__main__":
    raise SystemExit(main())
