"""The section `experiments`: what is refused, and by which words."""

import pytest

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.experiment_settings import ExperimentSettings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"arms": {"a": {"share": 0.5}, "b": {"share": 0.4}}}, "shares of arms a, b add up to 0.9 and must add up to 1"),
        ({"arms": {}}, r"shares of arms \(none\) add up to 0"),
        ({"rewards": ["clik"]}, "rewards clik are no actions of interest"),
        ({"rewards": ["dislike", "click"]}, "rewards dislike are no"),
        ({"rewards": ["impression"]}, "rewards impression are no"),
        ({"explore": {"uniform": 0}}, "uniform"),
        ({"explore": {"place": 0}}, "place"),
    ],
)
def test_what_cannot_be_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        validate(ExperimentSettings, given)


def test_the_first_arm_is_the_control():
    settings = validate(
        ExperimentSettings, {"arms": {"now": {"share": 0.9}, "new": {"share": 0.1, "rerank": {"diversity": 0.3}}}}
    )
    assert settings.control == "now" and settings.shares == {"now": 0.9, "new": 0.1}
    assert settings.arms["new"].rerank is not None and settings.arms["now"].rerank is None
