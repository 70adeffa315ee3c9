"""A read-out that is looked at every morning stops wrongly no more often than it says; a broken assignment is seen."""

import numpy as np
import pytest
from scipy import stats

from nightrank.experiments.read_out import Arm, arm_of, differences, sample_ratio


def test_looking_every_morning_stops_wrongly_as_rarely_as_it_says():
    """No difference between the arms, 40 mornings: the fixed interval stops far too often, the other one does not."""
    rng, always, fixed = np.random.default_rng(0), 0, 0
    for _ in range(200):
        reward, arm = (rng.random(4_000) < 0.2).astype(float), rng.integers(2, size=4_000)
        stopped = [_look(reward[:users], arm[:users]) for users in range(100, 4_001, 100)]
        always += any(found.may_stop for found in stopped)
        fixed += any(not found.low <= 0 <= found.high for found in stopped)
    assert always / 200 <= 0.07
    assert fixed / 200 > 0.2


def _look(reward, arm):
    return differences({"control": arm_of(reward[arm == 0]), "new": arm_of(reward[arm == 1])}, "control")[0]


def test_a_real_difference_is_found_with_its_sign_and_size():
    rng = np.random.default_rng(1)
    values = {"control": (rng.random(6_000) < 0.2).astype(float), "better": (rng.random(5_000) < 0.25).astype(float)}
    (found,) = differences({name: arm_of(rows) for name, rows in values.items()}, "control")
    welch = stats.ttest_ind(values["better"], values["control"], equal_var=False).confidence_interval()
    assert np.allclose((found.low, found.high), welch, atol=1e-12)
    assert found.may_stop and found.low <= 0.05 <= found.high and found.value > 0
    assert found.always_low < found.low < found.high < found.always_high
    assert (found.arm, found.users) == ("better", 5_000)


def test_arms_without_users_or_variance_are_handled():
    with pytest.raises(ValueError, match="arm 'new' has fewer than two users"):
        differences({"control": Arm(5, 1.0, 0.0), "new": Arm(1, 1.0, 0.0)}, "control")
    (same,) = differences({"control": Arm(5, 1.0, 0.0), "new": Arm(5, 1.0, 0.0)}, "control")
    assert (same.value, same.low, same.high, same.may_stop) == (0, 0, 0, False)


def test_a_sample_ratio_that_chance_does_not_make_is_a_mismatch():
    shares = {"control": 0.5, "new": 0.5}
    assert not sample_ratio({"control": 5_050, "new": 4_950}, shares).is_mismatch
    broken = sample_ratio({"control": 5_300, "new": 4_700}, shares)
    assert broken.is_mismatch and broken.expected == {"control": 5_000, "new": 5_000}
    assert sample_ratio({}, shares).p_value == 1
    assert sample_ratio({"control": 7}, {"control": 1.0, "new": 0.0}).p_value == 1
    with pytest.raises(ValueError, match="arm 'old', which has no share"):
        sample_ratio({"control": 5, "old": 2}, shares)
