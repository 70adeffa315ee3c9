"""What a run says of itself: figures with intervals, and where it came from without naming this machine."""

import base64
import subprocess
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.accuracy.fit import means
from nightrank.trainer.evaluation.bootstrap import percentile_interval, resampled_means

ROOT: Final = Path(__file__).resolve().parents[2]
SHOWN: Final = ("recall@10", "ndcg@10")
DRAWS: Final = 1000


def figures(by_user: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Means, with bootstrap intervals (95 %, 1,000 draws of users) at 10, and every user's rank for `paired`."""
    values = np.stack([by_user[name] for name in SHOWN], axis=1)
    resampled = resampled_means(values, seed, DRAWS)
    intervals = {name: percentile_interval(resampled[:, i], 0.95) for i, name in enumerate(SHOWN)}
    return {"n": len(values), **means(by_user), "intervals": intervals, "ranks": packed_ranks(by_user["ndcg@20"])}


def told(figures: dict[str, Any]) -> dict[str, Any]:
    """What a person reads of them."""
    return {name: value for name, value in figures.items() if name != "ranks"}


def packed_ranks(ndcg_20: np.ndarray) -> str:
    """Place of each user's one target in a list of 20, from 1; 0 where it is not in the list. One byte per user, compressed."""
    ranks = np.zeros(len(ndcg_20), np.uint8)
    found = ndcg_20 > 0
    ranks[found] = np.round(2 ** (1 / ndcg_20[found]) - 1)
    return base64.b64encode(zlib.compress(ranks.tobytes(), 9)).decode()


def unpacked(ranks: str) -> dict[str, np.ndarray]:
    """Metrics by user from `packed_ranks`."""
    rank_B = np.frombuffer(zlib.decompress(base64.b64decode(ranks)), np.uint8)
    inside = (rank_B > 0) & (rank_B <= 10)
    gain = np.zeros(len(rank_B))
    gain[inside] = 1 / np.log2(rank_B[inside] + 1.0)
    return {"recall@10": inside.astype(np.float64), "ndcg@10": gain}


def shortened(argument: str) -> str:
    """A path of this machine by its last two names."""
    return "/".join(Path(argument).parts[-2:]) if argument.startswith(("/", "..")) else argument


def commit() -> str:
    """The commit, with `+` where the checkout was changed after it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
