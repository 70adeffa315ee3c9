import pytest

from tests.golden.curve import measured, pinned


def test_a_fixed_seed_gives_the_pinned_curve(tmp_path):
    """Not bit for bit: another CPU may round a matrix product otherwise. A change of the mathematics is far larger."""
    found, wanted = measured(tmp_path), pinned()
    assert found.keys() == wanted.keys()
    for phase, curve in wanted.items():
        assert found[phase]["step"] == curve["step"]
        assert found[phase]["lr"] == pytest.approx(curve["lr"], rel=1e-12)
        assert found[phase]["loss"] == pytest.approx(curve["loss"], rel=2e-3)
        for ours, theirs in zip(found[phase]["valid"], curve["valid"], strict=True):
            assert ours == pytest.approx(theirs, abs=0.02)


def test_the_pinned_curve_shows_learning():
    loss = pinned()["fit"]["loss"]
    assert sum(loss[-5:]) < 0.95 * sum(loss[:5])
