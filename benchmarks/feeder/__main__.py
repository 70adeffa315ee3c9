"""What reaches torch a second: our readers, Petastorm's own loader and a bare pyarrow scan, on the same rows.

`python -m benchmarks.feeder NAME [--rows N] [--rounds R] [--out FILE]`, in a process pinned to two cores. The figures go to
benchmarks/results/<name>.json. Names:

feeder_native_vs_petastorm   40 numeric columns, shuffled: the pyarrow reader under our plan; Petastorm's shuffling loader
feeder_native_vs_scan        the same rows: the pyarrow reader; the scan
feeder_sequences_vs_padded   sequences: Petastorm with our worker, packed; Petastorm as it comes, padded to 50; the scan; our
                             readers without shuffle and batches (`rows`), which is as far as they could get
"""

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import torch

from benchmarks.feeder.contestants import SEED, SUMMED, ours_numeric, ours_rows, ours_sequences, petastorm, scan
from benchmarks.feeder.files import COLUMNS, numeric_rows, padded_rows, sequence_rows, write
from benchmarks.feeder.race import Contestant, Laps, race
from benchmarks.machine import machine
from nightrank.trainer.data.arrow_rows import ROW_COLUMNS
from nightrank.trainer.data.memory import keep_freed_memory

RESULTS: Final = Path(__file__).parents[1] / "results"
NAMES: Final = ("feeder_native_vs_petastorm", "feeder_native_vs_scan", "feeder_sequences_vs_padded")


def numeric(root: Path, rows: int, rounds: int, beside: Sequence[str]) -> dict[str, Laps]:
    files = write(root, "numeric", rows, numeric_rows)
    runs = {
        "ours": ours_numeric("arrow"),
        "ours_through_petastorm": ours_numeric("petastorm"),
        "peer": petastorm(COLUMNS),
        "limit": scan(COLUMNS),
    }
    contestants = {
        recommender: Contestant(run, files) for recommender, run in runs.items() if recommender in ("ours", "limit", *beside)
    }
    return race(contestants, "limit", rounds, COLUMNS)


def sequences(root: Path, rows: int, rounds: int) -> dict[str, Laps]:
    packed, padded = write(root, "packed", rows, sequence_rows), write(root, "padded", rows, padded_rows)
    contestants = {
        "ours": Contestant(ours_sequences("petastorm"), packed),
        "ours_native": Contestant(ours_sequences("arrow"), packed),
        "rows": Contestant(ours_rows("petastorm"), packed),
        "rows_native": Contestant(ours_rows("arrow"), packed),
        "peer": Contestant(petastorm(ROW_COLUMNS), padded),
        "limit": Contestant(scan(ROW_COLUMNS), packed),
    }
    return race(contestants, "limit", rounds, SUMMED)


def result(name: str, laps: dict[str, Laps], before: dict[str, Any], rows: int, rounds: int) -> dict[str, Any]:
    ours, peer, limit = (laps[recommender].median if recommender in laps else None for recommender in ("ours", "peer", "limit"))
    return {
        "name": name,
        "command": f"python -m benchmarks.feeder {name} --rows {rows} --rounds {rounds}",
        "unit": "events/s" if "sequences" in name else "rows/s",
        "ours": ours,
        "peer": peer,
        "limit": limit,
        "ours_over_peer": round(ours / peer, 3) if ours and peer else None,
        "ours_over_limit": round(ours / limit, 3) if ours and limit else None,
        "equal": all(found.equal for found in laps.values()),
        "seed": SEED,
        "rows": rows,
        "machine": before,
        "contestants": {recommender: found.result() for recommender, found in laps.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    torch.set_num_threads(1)  # with more, the peer's small tensors spend their time waiting for torch's threads
    pa.set_cpu_count(2)
    keep_freed_memory()  # for all of them; a training worker does it too, before it reads
    warnings.simplefilter("ignore")
    before = machine(pyarrow=pa.__version__)
    with tempfile.TemporaryDirectory() as folder:
        if options.name == "feeder_sequences_vs_padded":
            laps = sequences(Path(folder), options.rows, options.rounds)
        else:
            beside = ("peer", "ours_through_petastorm") if options.name == "feeder_native_vs_petastorm" else ()
            laps = numeric(Path(folder), options.rows, options.rounds, beside)
    written = result(options.name, laps, before, options.rows, options.rounds)
    out = options.out or RESULTS / f"{options.name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written, indent=2) + "\n")
    print(json.dumps(written, indent=2))


if __name__ == "__main__":
    main()
