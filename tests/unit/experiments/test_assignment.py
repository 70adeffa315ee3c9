"""Arms are sticky, have their shares, and are drawn for each experiment on its own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nightrank.experiments.assignment import point, variant
from nightrank.experiments.read_out import sample_ratio

SHARES = {"control": 0.5, "diverse": 0.3, "fresh": 0.2}
USERS = [f"u{number}" for number in range(20_000)]


def test_arms_have_their_shares():
    arms, counts = np.unique([variant("lists-1", user, SHARES) for user in USERS], return_counts=True)
    assert not sample_ratio(dict(zip(arms.tolist(), counts.tolist(), strict=True)), SHARES).is_mismatch


def test_two_experiments_draw_independently():
    pairs = [(variant("a", user, SHARES), variant("b", user, SHARES)) for user in USERS]
    expected = {f"{one}/{two}": SHARES[one] * SHARES[two] for one in SHARES for two in SHARES}
    counts = dict.fromkeys(expected, 0)
    for one, two in pairs:
        counts[f"{one}/{two}"] += 1
    assert not sample_ratio(counts, expected).is_mismatch


def test_an_arm_that_grows_keeps_its_users():
    before = {user for user in USERS if variant("x", user, {"new": 0.1, "control": 0.9}) == "new"}
    after = {user for user in USERS if variant("x", user, {"new": 0.4, "control": 0.6}) == "new"}
    assert before < after


@given(st.text(), st.text())
def test_the_same_user_is_in_the_same_arm_again(experiment, user):
    assert 0 <= point(experiment, user) < 1
    assert variant(experiment, user, SHARES) == variant(experiment, user, dict(SHARES))


def test_the_draw_does_not_change_between_releases():
    """Users of a running experiment would change their arm."""
    assert [variant("lists-1", user, SHARES) for user in USERS[:6]] == [
        variant("lists-1", user, SHARES) for user in ("u0", "u1", "u2", "u3", "u4", "u5")
    ]
    assert round(point("lists-1", "u0"), 12) == POINT


POINT = 0.618515988283
