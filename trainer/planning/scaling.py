"""How long a step takes on N ranks, from what a network gives: docs/scaling.md says what that means for large clusters.

Weak scaling: each rank has as many rows, so its compute does not depend on N. A collective costs a latency for each message
that a rank sends one after the other, and its bytes over the rank's bandwidth. A ring sum sends 2 (N - 1) messages and
2 (N - 1) / N of the buffer (Patarasuk & Yuan 2009); an exchange of rows sends a message to each other rank and keeps 1 / N of
the rows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    latency: float
    """Seconds of one message between two ranks."""
    bandwidth: float
    """Bytes a second that a rank sends while it receives as many."""
    call: float = 0.0
    """Seconds of any collective before its first message: negotiation, threads that wake up."""


@dataclass(frozen=True)
class StepWork:
    """Of one rank, the same for every number of ranks."""

    compute: float
    """Seconds."""
    dense: int
    """Bytes of the gradient that all ranks add up."""
    rows: int = 0
    """Distinct rows of a table by row that a step looks up; 0 where there is none."""
    row_bytes: int = 0

    @property
    def exchanged(self) -> tuple[int, ...]:
        """Bytes of each exchange of rows: their ids, the rows, their gradients."""
        return (8 * self.rows, self.row_bytes * self.rows, self.row_bytes * self.rows) if self.rows else ()


def step_seconds(work: StepWork, network: Network, ranks: int) -> float:
    """Nothing overlaps: compute, then what travels."""
    return work.compute + wire_seconds(work, network, ranks)


def wire_seconds(work: StepWork, network: Network, ranks: int) -> float:
    if ranks == 1:
        return 0.0
    others = ranks - 1
    total = network.call + 2 * others * network.latency + 2 * others / ranks * work.dense / network.bandwidth
    for size in work.exchanged:
        total += network.call + others * network.latency + others / ranks * size / network.bandwidth
    return total


def efficiency(work: StepWork, network: Network, ranks: int) -> float:
    """Of weak scaling: rows a second and rank, over those of one rank alone."""
    return work.compute / step_seconds(work, network, ranks)
