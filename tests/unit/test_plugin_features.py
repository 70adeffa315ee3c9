"""A feature of a package of one's own: derived row by row from aggregates as of a day, and named wherever it is missing."""

import sys

import numpy as np
import pytest

from nightrank.feature_store import derive
from nightrank.feature_store.as_of import SCALE, Cumulative, aggregates, values
from nightrank.feature_store.contracts.aggregates import counters_of, derived
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.feature_settings import FeatureSettings
from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.inputs import ItemInputs
from tests.unit.test_plugins import install

RATE = "plugin.purchase_rate"
NAMES = ("count_all", RATE)
COUNTERS = ("count", "view", "purchase")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    forget()


def forget():
    derived.cache_clear()
    derive._try_row_by_row.cache_clear()
    sys.modules.pop("shop_rankers", None)


def test_it_is_derived_from_what_was_known_when_the_day_began(installed):
    # Entity 1: three views on day 2; a purchase and a view on day 5. Entity 2: a purchase on day 2.
    table = Cumulative(np.array([1, 1, 2]), np.array([2, 5, 2]), np.array([[3, 3, 0], [5, 4, 1], [1, 0, 1]], np.int32))
    assert counters_of(NAMES) == COUNTERS
    entities, days = np.array([1, 2, 1, 1, 3, 1]), np.array([6, 3, 5, 2, 9, 40])
    found = values(table, NAMES, COUNTERS, entities, days)
    np.testing.assert_array_equal(found[:, 1], np.float32([4 / 5, 4, 0, 0, 0, 0]))
    # The model reads it as it is, and an aggregate beside it on the usual scale.
    inputs = aggregates(table, NAMES, COUNTERS, entities, days)
    np.testing.assert_array_equal(inputs[:, 1], found[:, 1])
    np.testing.assert_allclose(inputs[:, 0], SCALE * np.log1p(found[:, 0]), rtol=1e-6)


def test_one_that_looks_at_the_rows_beside_it_is_refused(installed):
    table = Cumulative(np.array([1]), np.array([2]), np.array([[3]], np.int32))
    with pytest.raises(ConfigError, match=r"plugin.against_the_mean \(nightrank.features\) gives a row another number when"):
        values(table, ("plugin.against_the_mean",), ("count",), np.array([1, 2]), np.array([3, 3]))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("plugin.no_feature", r"no_feature in nightrank.features is <function hinge.*>, which does not say what it reads"),
        (
            "plugin.unheard_of",
            r"offers unheard_of in nightrank.features \(offered: against_the_mean, no_feature, purch.*\)",
        ),
    ],
)
def test_a_setting_that_names_no_feature_is_refused_before_anything_runs(installed, name, says):
    assert FeatureSettings(user=(RATE,), item=("count_7d", RATE)).user == (RATE,)
    with pytest.raises(ConfigError, match=says) as caught:
        FeatureSettings(item=(name,))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("made", "says"), [(1.0, r"shape \(\)"), (np.array([np.nan]), "a number that is not finite")])
def test_what_it_gives_is_one_finite_number_a_row(installed, monkeypatch, made, says):
    import shop_rankers

    wrong = lambda known: made if len(known["count_7d"]) == 1 else known["count_7d"]  # noqa: E731
    wrong.reads = ("count_7d",)
    monkeypatch.setattr(shop_rankers, "purchase_rate", wrong)
    table = Cumulative(np.array([1]), np.array([2]), np.array([[3]], np.int32))
    with pytest.raises(ConfigError, match=says):
        values(table, (RATE,), ("count",), np.array([1]), np.array([3]))


def test_a_bundle_names_its_package_and_the_feature_where_it_is_missing(installed, tmp_path, monkeypatch):
    features = Features(user=NAMES, timezone="UTC")
    config = RankerConfig.model_validate({"width": 8, "encoder": {"name": "gru"}})
    ranker = compose(config, ItemInputs(3, features=features), seed=1)
    name = store_bundle(tmp_path / "models", ranker, ["a", "b", "c"], snapshot_id="s", lineage="l")
    folder = tmp_path / "models" / name
    assert load_bundle(folder).info.plugins == {"shop-rankers": "1.2"} and load_bundle(folder).info.features == features
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(installed)])
    forget()
    says = r"with purchase_rate of nightrank.features needs the plug-in package shop-rankers 1\.2, which is not installed"
    with pytest.raises(ConfigError, match=says) as caught:
        load_bundle(folder)
    assert caught.value.exit_code == 2 and "pip install shop-rankers==1.2" in caught.value.remedy
