"""Which arm of an experiment a user is in: the same every night, on every machine, and drawn for each experiment on its own."""

from collections.abc import Mapping
from hashlib import sha256
from itertools import accumulate
from typing import Final

STEPS: Final = 2**64


def point(experiment: str, key: str) -> float:
    """A number in [0, 1) that only the experiment's name and the key decide; evenly distributed over keys."""
    return int.from_bytes(sha256(f"{experiment}\n{key}".encode()).digest()[:8]) / STEPS


def variant(experiment: str, user_id: str, shares: Mapping[str, float]) -> str:
    """The user's arm. Shares add up to 1; arms take the line from 0 to 1 in their order.

    An arm that grows at the cost of the next one keeps all its users. Two experiments of different names draw independently
    (hashing with a salt: Kohavi, Tang and Xu 2020, section 4.3).
    """
    at = point(experiment, user_id)
    for name, end in zip(shares, accumulate(shares.values()), strict=True):
        if at < end:
            return name
    return list(shares)[-1]  # the sum of shares was a little below 1
