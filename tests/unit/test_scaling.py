"""Step times by hand: compute, a ring sum of the dense gradient, three exchanges of rows."""

import pytest

from nightrank.trainer.planning.scaling import Network, StepWork, efficiency, step_seconds, wire_seconds

SLOW = Network(latency=0.001, bandwidth=1000.0, call=0.01)


@pytest.mark.parametrize(
    ("ranks", "dense", "rows", "seconds"),
    [
        (1, 4000, 10, 0.0),
        (2, 4000, 0, 0.01 + 2 * 0.001 + 4.0),
        (4, 4000, 0, 0.01 + 6 * 0.001 + 6.0),
        (2, 0, 10, 4 * 0.01 + 5 * 0.001 + (0.04 + 0.2 + 0.2)),
        (4, 0, 10, 4 * 0.01 + 15 * 0.001 + 1.5 * (0.04 + 0.2 + 0.2)),
    ],
)
def test_what_travels_takes_a_latency_a_message_and_its_bytes(ranks, dense, rows, seconds):
    work = StepWork(compute=2.0, dense=dense, rows=rows, row_bytes=40)
    assert wire_seconds(work, SLOW, ranks) == pytest.approx(seconds)
    assert step_seconds(work, SLOW, ranks) == pytest.approx(2.0 + seconds)
    assert efficiency(work, SLOW, ranks) == pytest.approx(2.0 / (2.0 + seconds))


def test_bytes_of_a_rank_are_bounded_and_messages_are_not():
    work = StepWork(compute=1.0, dense=1000, rows=100, row_bytes=256)
    free = Network(latency=0.0, bandwidth=1e6)
    most = (2 * 1000 + 8 * 100 + 2 * 256 * 100) / 1e6
    assert wire_seconds(work, free, 4096) == pytest.approx(most, rel=0.001)
    assert wire_seconds(work, Network(1e-5, 1e6), 4096) > most + 4000 * 1e-5
