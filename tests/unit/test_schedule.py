import math

import pytest

from nightrank.trainer.config.training import PhaseConfig
from nightrank.trainer.loop.schedule import learning_rate

PHASE = PhaseConfig(epochs=1, learning_rate=1.0, warmup_steps=4, floor=0.1)


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        (0, 0.2),
        (3, 0.8),
        (4, 1.0),
        (9, 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 5 / 10))),
        (14, 0.1),
    ],
)
def test_warm_up_then_cosine_down_to_the_floor(step, wanted):
    assert learning_rate(PHASE, step, 15) == pytest.approx(wanted)


def test_a_phase_shorter_than_its_warm_up_still_reaches_its_rate():
    rates = [learning_rate(PHASE, step, 4) for step in range(4)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1.0, 0.1])


def test_one_step_is_taken_at_the_full_rate():
    assert learning_rate(PHASE, 0, 1) == pytest.approx(1.0)


def test_steps_beyond_the_plan_stay_at_the_floor():
    assert learning_rate(PHASE, 50, 15) == pytest.approx(0.1)
