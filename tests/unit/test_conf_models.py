"""Every named model of conf/models lies over every data set's configuration, and is what it says."""

from pathlib import Path

import pytest

from feature_store.contracts.errors import ConfigError
from pipeline.config import find, packaged_names, resolve

CONF = Path(__file__).resolve().parents[2] / "conf"
DATA = ["amazon-games", "demo", "movielens", "simulator", "tiny"]
NAMED = {
    "transformer": "transformer",
    "sasrec": "transformer",
    "gsasrec": "transformer",
    "gru": "gru",
    "lstm": "lstm",
    "towers": "towers",
    "towers_sigmoid": "towers",
    "hstu": "hstu",
    "bert4rec": "bert4rec",
    "mf": "mf",
    "jd_tower": "causal_lm",
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", NAMED)
def test_a_model_lies_over_a_data_set(name, data):
    model = resolve([data, f"models/{name}"], [])["trainer"]["model"]
    assert model["encoder"]["name"] == NAMED[name]
    assert resolve([data, f"models/{name}"], []) == resolve([data, str(CONF / "models" / f"{name}.yaml")], [])


def test_what_is_there_is_said():
    assert {f"models/{name}" for name in NAMED} <= set(packaged_names())
    with pytest.raises(ConfigError, match="models/nobody") as fault:
        find("models/nobody")
    assert "models/sasrec" in fault.value.remedy
