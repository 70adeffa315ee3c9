"""Every named model of conf/models lies over every data set's configuration, and is what it says."""

from pathlib import Path

import pytest

from nightrank.feature_store.contracts.config import merged, overlay
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.pipeline.config import find, packaged_names, resolve
from tests.named_models import NAMES

CONF = Path(__file__).resolve().parents[2] / "conf"
DATA = [name for name in packaged_names() if "/" not in name]
FILES = sorted(path.stem for path in (CONF / "models").glob("*.yaml"))
CLICK_FILES = sorted(path.stem for path in (CONF / "models" / "ctr").glob("*.yaml"))
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
    "ensemble": "transformer",
    "bert_behaviour": "bert_behaviour",
}
CTR_RANKERS = {"ctr_lr": "lr", "ctr_dnn": "dnn", "dcnv2": "dcnv2", "din": "din", "finalmlp": "finalmlp", "mmoe": "mmoe"}


def test_no_file_is_forgotten():
    assert sorted(NAMED) == FILES == NAMES and sorted(CTR_RANKERS) == CLICK_FILES
    assert {path.stem for path in CONF.glob("*.yaml")} - set(DATA) == {"mapping-example", "tune"}
    models = {*(f"models/{name}" for name in FILES), *(f"models/ctr/{name}" for name in CLICK_FILES)}
    assert {*DATA, *models, "env/secure"} == set(packaged_names())


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", FILES)
def test_a_model_lies_over_a_data_set(name, data):
    file = CONF / "models" / f"{name}.yaml"
    found = resolve([data, f"models/{name}"], [])
    assert found["trainer"]["model"]["encoder"]["name"] == NAMED[name]
    assert found == resolve([data, str(file)], []) == overlay(found, merged([file], []))


@pytest.mark.parametrize("name", CLICK_FILES)
def test_a_click_ranker_lies_over_a_data_set_and_switches_its_stages_on(name):
    found = resolve(["tiny", f"models/ctr/{name}"], [])
    assert found["ctr"]["model"]["name"] == CTR_RANKERS[name] and found["impressions"]["enabled"] is True
    assert len(found["impressions"]["labels"]) == (3 if name == "mmoe" else 1)
    assert found["trainer"] == resolve(["tiny"], [])["trainer"] and resolve(["tiny"], [])["impressions"]["enabled"] is False
    assert f"models/ctr/{name}" in packaged_names()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("impressions.fields=[item, devise]", r"unknown input devise: there are user, item, .* and context.<key>"),
        (
            "impressions.fields=[item, attributes.x]",
            r"unknown input attributes.x: .*, attribute.<key> and context.<key>",
        ),
        ("impressions.numeric=[price]", r"unknown input price: there are log_price, log_history"),
        ("impressions.numeric=[user_counts_7d]", r"unknown aggregate counts_7d: there are count_<N>d"),
        ("impressions.numeric=[item_log_price]", r"unknown aggregate log_price"),
        ("impressions.fields=[item, user_count_7d]", r"unknown input user_count_7d: there are user, item"),
        ("impressions.serving={slot: '1'}", r"unknown input slot"),
        ("impressions.fields=[user]", r"fields \['user'\] lack item"),
        ("impressions.fields=[item, item]", r"contain a name twice"),
        ("impressions.labels=[like]", r"labels \['like'\]: actions are impression, view, click"),
        ("impressions.shown=[click]", r"shown \['click'\], labels \['click'\]"),
        ("impressions.labels=[]", r"impressions.labels: .*at least 1"),
        ("impressions.history=0", r"ctr.model din reads histories and impressions.history is 0"),
        ("ctr.model.name=dim", r"ctr.model: .*'dim'"),
        ("ctr.epoch=3", r"ctr.epoch: Extra inputs are not permitted"),
    ],
)
def test_an_input_or_part_that_is_not_known_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        resolve(["tiny", "models/ctr/din"], [override])


def test_what_is_there_is_said():
    with pytest.raises(ConfigError, match="models/nobody") as fault:
        find("models/nobody")
    assert "models/sasrec" in fault.value.remedy
