"""What a run says of itself: figures with intervals, and where it came from without naming this machine."""

import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.accuracy.fit import means
from trainer.evaluation.bootstrap import percentile_interval, resampled_means

SHOWN: Final = ("recall@10", "ndcg@10")


def figures(by_user: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Means, with bootstrap intervals (95 %, 1,000 draws of users) at 10."""
    values = np.stack([by_user[name] for name in SHOWN], axis=1)
    resampled = resampled_means(values, seed, 1000)
    intervals = {name: percentile_interval(resampled[:, i], 0.95) for i, name in enumerate(SHOWN)}
    return {"n": len(values), **means(by_user), "intervals": intervals}


def said(argument: str) -> str:
    """A path of this machine by its last two names."""
    return "/".join(Path(argument).parts[-2:]) if argument.startswith(("/", "..")) else argument


def commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
