"""Both readers on files of a bucket, from the second epoch on, beside the same files on the disk: what the node cache costs.

`python -m benchmarks.reader_from_cache [--rows N] [--rounds R] [--out FILE]`, in a process pinned to two cores. The first epoch
is not timed: it fetches the files from a tiny S3 server on this machine. `ours` is the default reader in the bucket, `limit`
the same reader on the disk; `native` is the other reader's ratio. A ratio is the median of those of laps that followed each
other, so that what else the machine does hits both; `cpu` is that of the processor time, of which no neighbour takes a part.
"""

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import torch

from benchmarks.feeder.contestants import SEED, SUMMED, ours_sequences
from benchmarks.feeder.files import Files, sequence_rows, write
from benchmarks.feeder.race import Contestant, Laps, race
from benchmarks.machine import machine
from nightrank.feature_store.contracts.storage import locate
from nightrank.trainer.config.training import ReaderName
from nightrank.trainer.data.memory import keep_freed_memory

NAME: Final = "reader_from_cache_vs_disk"
BUCKET: Final = "lakes"
READERS: Final[dict[str, ReaderName]] = {"": "petastorm", "_native": "arrow"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / f"{NAME}.json")
    options = parser.parse_args()
    from tests.s3_server import environment, s3_server

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    torch.set_num_threads(1)
    pa.set_cpu_count(2)
    keep_freed_memory()
    before = machine(pyarrow=pa.__version__)
    with tempfile.TemporaryDirectory() as folder, s3_server(BUCKET) as port:
        os.environ.update(environment(port), NIGHTRANK_NODE_CACHE=str(Path(folder) / "cache"))
        disk = write(Path(folder) / "disk", "packed", options.rows, sequence_rows)
        bucket = uploaded(disk)
        runs = {
            f"{name}{suffix}": Contestant(ours_sequences(reader), files)
            for suffix, reader in READERS.items()
            for name, files in (("bucket", bucket), ("disk", disk))
        }
        laps = race(runs, "disk", options.rounds, SUMMED)
    body = result(laps, before, options.rows, options.rounds)
    options.out.write_text(json.dumps(body, indent=2) + "\n")
    print(json.dumps(body, indent=2))


def uploaded(files: Files) -> Files:
    """The same table below the bucket."""
    root = locate(f"s3://{BUCKET}/bench")
    for path in files.paths:
        (root / "tables" / files.part.table / path.name).write_bytes(path.read_bytes())
    return replace(files, root=root)


def result(laps: dict[str, Laps], before: dict[str, Any], rows: int, rounds: int) -> dict[str, Any]:
    ours, limit = laps["bucket"].median, laps["disk"].median
    return {
        "name": NAME,
        "command": f"python -m benchmarks.reader_from_cache --rows {rows} --rounds {rounds}",
        "unit": "events/s",
        "ours": ours,
        "limit": limit,
        "ours_over_limit": paired(laps["bucket"], laps["disk"]),
        "native_over_limit": paired(laps["bucket_native"], laps["disk_native"]),
        "cpu": {name.strip("_") or "petastorm": of_cpu(laps[f"bucket{name}"], laps[f"disk{name}"]) for name in READERS},
        "equal": all(found.equal for found in laps.values()),
        "seed": SEED,
        "rows": rows,
        "machine": before,
        "contestants": {name: found.result() for name, found in laps.items()},
    }


def paired(ours: Laps, limit: Laps) -> float:
    return round(statistics.median(a / b for a, b in zip(ours.rates, limit.rates, strict=True)), 3)


def of_cpu(ours: Laps, limit: Laps) -> float:
    return round(statistics.median(limit.cpu) / statistics.median(ours.cpu), 3)


if __name__ == "__main__":
    main()
