"""How many broken days the data guards hold, and how many clean days by mistake, on markets they have never seen.

`python -m benchmarks.bad_nights --seeds 10 --out benchmarks/results/bad_nights.json`: each seed is a market of 36 days. Every
clean day with enough days before it is judged; then the last five days are broken in each way and judged again. Thresholds are
the defaults of the section `guards`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from nightrank.feature_store.contracts.guard_settings import GuardSettings
from nightrank.feature_store.guards.decide import judged
from nightrank.feature_store.guards.profile import Profile
from nightrank.feature_store.guards.reference import Reference
from tests.landed_days import NAMED, UNSEEN, Fault, landed_days, profile, unknown_share

FIRST_SEED: Final = 1001
DAYS: Final = 36
BROKEN: Final = 5
SETTINGS: Final = GuardSettings()


class Market:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.days = landed_days(seed, "tiny", DAYS)
        self.profiles = {day: profile(day, table) for day, table in self.days.items()}

    def verdicts(self) -> Iterator[str]:
        """Of its clean days."""
        for day in list(self.days)[SETTINGS.least_days :]:
            yield self._verdict(day, self.days[day], self.profiles[day])

    def broken(self, fault: Fault) -> Iterator[str]:
        for day in list(self.days)[-BROKEN:]:
            table = fault(self.days[day], np.random.default_rng([self.seed, day.toordinal()]))
            yield self._verdict(day, table, profile(day, table))

    def _verdict(self, day: date, table: pa.Table, found: Profile) -> str:
        before = {each: one for each, one in self.profiles.items() if each < day}
        share = unknown_share(table, {each: self.days[each] for each in before})
        return judged(found, Reference(before, day), SETTINGS, share).verdict


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_nights", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="markets")
    parser.add_argument("--out", type=Path, help="a JSON file; otherwise to stdout")
    options = parser.parse_args()
    clean: Counter[str] = Counter()
    broken: dict[str, Counter[str]] = {name: Counter() for name in (*NAMED, *UNSEEN)}
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        market = Market(seed)
        clean.update(market.verdicts())
        for name, fault in {**NAMED, **UNSEEN}.items():
            broken[name].update(market.broken(fault))
    faults = {name: {"held": found["held"], "days": found.total(), "unseen": name in UNSEEN} for name, found in broken.items()}
    body = {
        "name": "bad_nights",
        "seeds": options.seeds,
        "clean": {"held": clean["held"], "days": clean.total()},
        "broken": faults,
    }
    text = json.dumps(body, indent=1) + "\n"
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
