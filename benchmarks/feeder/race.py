"""Contestants one after the other, round by round, on the same rows; and whether they delivered the same."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.feeder.files import Files


@dataclass(frozen=True)
class Total:
    """What a contestant delivered: rows, and the sum of each column asked for, exact in any order."""

    rows: int
    sums: tuple[int, ...]


class Tally:
    """Counts what arrives. `columns` are those whose values are summed: all of them untimed, the first one when timed."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self.rows, self._sums = 0, [0] * len(columns)

    def add(self, rows: int, column: Callable[[str], np.ndarray]) -> None:
        self.rows += rows
        for at, name in enumerate(self.columns):
            values = column(name)
            self._sums[at] += int(values.sum(dtype=np.float64 if values.dtype.kind == "f" else np.int64))

    def total(self) -> Total:
        return Total(self.rows, tuple(total % 2**64 for total in self._sums))  # sums of int64 wrap around, in any order alike


Run = Callable[[Files, int, Sequence[str]], Total]


@dataclass(frozen=True)
class Contestant:
    """Feeds `files` in epoch `number` and sums the named columns."""

    run: Run
    files: Files


@dataclass
class Laps:
    """What was seen of one contestant. A round that came up short (Petastorm's stock pool loses row groups, at times all of
    them) has no rate and is counted."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    short: int = 0
    equal: bool = True

    def result(self) -> dict[str, Any]:
        return {
            "median": self.median,
            "each": [round(rate) for rate in self.rates],
            "cpu_seconds_per_million": round(statistics.median(self.cpu or [0.0]), 4),
            "load_before": self.loads,
            "short_rounds": self.short,
            "equal": self.equal,
        }

    @property
    def median(self) -> int:
        return round(statistics.median(self.rates or [0.0]))


def race(contestants: Mapping[str, Contestant], reference: str, rounds: int, every: Sequence[str]) -> dict[str, Laps]:
    """Units (rows or events) a second in each round. Before them an untimed one, in which the sums of all columns `every` are
    compared with those of `reference`; in timed rounds rows and the first column are. Every other round goes backwards."""
    laps = {recommender: Laps() for recommender in contestants}
    for number in range(rounds + 1):
        totals: dict[str, Total] = {}
        turns = list(contestants.items())
        for recommender, contestant in turns if number % 2 else reversed(turns):
            load, used, started = os.getloadavg()[0], time.process_time(), time.perf_counter()
            totals[recommender] = contestant.run(contestant.files, number, every if number == 0 else every[:1])
            seconds, used = time.perf_counter() - started, time.process_time() - used
            units = contestant.files.units
            print(f"round {number}: {recommender} {units / seconds / 1e6:.2f} M/s, load {load:.2f}", file=sys.stderr)
            if number and totals[recommender].rows == contestant.files.part.rows:
                laps[recommender].rates.append(units / seconds)
                laps[recommender].cpu.append(used / units * 1e6)
                laps[recommender].loads.append(load)
        for recommender, contestant in contestants.items():
            short = totals[recommender].rows != contestant.files.part.rows
            laps[recommender].short += short
            laps[recommender].equal &= (short and number > 0) or totals[recommender] == totals[reference]
    return laps
