"""Every accuracy table, one run after the other: `python -m benchmarks.accuracy.tables --data FOLDER [--only NAME ...]`.

FOLDER holds the public sets by name (`amazon-beauty/Beauty.txt`, `frappe_x1`). Each run is a process of its own and leaves
benchmarks/results/<name>.json; the whole takes hours on two cores.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parents[1] / "results"
SEEDS: Final = ("1", "2", "3")
BEAUTY: Final = ("transformer", "sasrec")
"""Three seeds, both protocols."""
BEAUTY_ONCE: Final = ("gru", "lstm", "hstu", "bert4rec", "towers", "mf", "gsasrec", "jd_tower")
"""One seed, strict."""
CLICKS: Final = ("lr", "dnn", "dcnv2", "finalmlp")


def runs(data: Path) -> dict[str, list[str]]:
    """name -> module and arguments."""
    beauty = ["benchmarks.accuracy", "--data", str(data / "amazon-beauty" / "Beauty.txt")]
    frappe = ["benchmarks.accuracy.frappe", "--data", str(data / "frappe_x1")]
    table = {f"beauty_{name}": [*beauty, "--config", f"models/{name}", "--seeds", *SEEDS] for name in BEAUTY}
    table |= {
        f"beauty_{name}": [*beauty, "--config", f"models/{name}", "--seeds", "1", "--protocol", "strict"]
        for name in BEAUTY_ONCE
    }
    return table | {f"frappe_{name}": [*frappe, "--model", name, "--seeds", *SEEDS] for name in CLICKS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.tables", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of runs; all of them without it")
    options = parser.parse_args()
    table = runs(options.data)
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
