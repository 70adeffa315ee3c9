"""One model against another over the same users: `python -m benchmarks.accuracy.paired A.json B.json`.

Reads two results of the accuracy runs and prints, for each protocol that both have, the mean of A less B with its 95 % interval
(bootstrap, 1,000 draws of users, each user's values being the means over a file's seeds). Two intervals may touch where the
difference, user by user, is sure.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.report import DRAWS, SHOWN, unpacked
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.evaluation.bootstrap import percentile_interval, resampled_means


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.paired", description=__doc__)
    parser.add_argument("results", nargs=2, type=Path, help="JSON files of accuracy runs")
    parser.add_argument("--part", default="test", choices=["test", "cold_items"])
    options = parser.parse_args()
    ours, theirs = (json.loads(path.read_text()) for path in options.results)
    rows = []
    for protocol in ("strict", "refit"):
        both = [by_user(result, protocol, options.part) for result in (ours, theirs)]
        if all(len(values) for values in both):
            rows.append({"protocol": protocol, **difference(*both)})
    print(json.dumps({"a": ours["name"], "b": theirs["name"], "a_less_b": rows}, indent=2))
    return rows


def by_user(result: dict[str, Any], protocol: str, part: str) -> np.ndarray:
    """[users, metrics] of a protocol, the mean over seeds; no rows where one of them kept no ranks."""
    runs = [run[part] for run in result["runs"] if run["protocol"] == protocol and part in run]
    if not runs or not all("ranks" in run for run in runs):
        return np.zeros((0, len(SHOWN)))
    if len({run["n"] for run in runs}) > 1:
        raise DataContractError(f"the seeds of {result['name']} were asked of different users", "run them again")
    values = [unpacked(run["ranks"]) for run in runs]
    return np.mean([np.stack([value[name] for name in SHOWN], axis=1) for value in values], axis=0)


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    if len(ours) != len(theirs):
        raise DataContractError(f"{len(ours)} users against {len(theirs)}", "compare results on the same data set")
    less = ours - theirs
    resampled = resampled_means(less, 1, DRAWS)
    return {
        name: {"mean": float(less[:, i].mean()), "interval": percentile_interval(resampled[:, i], 0.95)}
        for i, name in enumerate(SHOWN)
    }


if __name__ == "__main__":
    main()
