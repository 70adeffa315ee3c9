"""`${env:NAME}` in Spark's properties: the value of the environment, or an error, and no secret that Spark makes itself."""

import pytest

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.spark_variables import SECRET, resolved
from nightrank.pipeline.config import configured
from nightrank.pipeline.run.steps import steps_of
from nightrank.pipeline.stages import STAGES

EXTRA = {SECRET: "${env:OURS}", "spark.a": "x-${env:A}-${env:B}", "spark.b": "$A ${A} {env:A}"}


def test_values_come_from_the_environment():
    found = resolved(EXTRA, "spark://host:7077", {"OURS": "canary", "A": "1", "B": "2"})
    assert found == {SECRET: "canary", "spark.a": "x-1-2", "spark.b": "$A ${A} {env:A}"}


@pytest.mark.parametrize("environ", [{"A": "1", "B": "2"}, {"A": "1", "B": "2", "OURS": ""}])
def test_a_variable_that_is_not_set_is_named_with_its_property(environ):
    with pytest.raises(ConfigError, match=r"spark\.authenticate\.secret need OURS, which the environment does not have"):
        resolved(EXTRA, None, environ)


@pytest.mark.parametrize("master", ["local", "local[2]", "local[2,3]", "yarn", "k8s://https://host"])
def test_a_master_that_makes_its_own_secret_is_given_none(master):
    assert SECRET not in resolved(EXTRA, master, {"A": "1", "B": "2"})
    assert resolved({SECRET: "stated"}, master, {}) == {SECRET: "stated"}


@pytest.mark.parametrize("master", ["spark://host:7077", "local-cluster[2,1,1024]", None])
def test_any_other_master_is_given_one(master):
    assert resolved({SECRET: "${env:OURS}"}, master, {"OURS": "canary"}) == {SECRET: "canary"}


def test_the_secret_reaches_spark_submit_by_its_file_and_no_command(monkeypatch):
    monkeypatch.setenv("NIGHTRANK_SPARK_SECRET", "canary-4711")
    monkeypatch.setenv("NIGHTRANK_SPARK_EVENTS", "file:///events")
    config = configured(["env/secure"], ["spark.master=spark://host:7077"])
    first, *_ = steps_of(STAGES[1:3], locate("/lake/runs/r"), config)
    assert first.properties[SECRET] == "canary-4711" and "canary" not in repr(first)
    assert "canary" not in str(config.shown) and config.shown["spark"]["extra"][SECRET] == "${env:NIGHTRANK_SPARK_SECRET}"


def test_secure_refuses_to_start_without_its_variables(monkeypatch):
    for name in ("NIGHTRANK_SPARK_SECRET", "NIGHTRANK_SPARK_EVENTS"):
        monkeypatch.delenv(name, raising=False)
    extra = configured(["env/secure"], []).section("spark", SparkSettings).extra
    with pytest.raises(ConfigError, match=r"spark\.eventLog\.dir need NIGHTRANK_SPARK_EVENTS"):
        resolved(extra, "local[2]")
    shown = Configuration.from_run({"spark": {"master": "spark://h:1", "extra": dict(extra)}})
    with pytest.raises(ConfigError, match="NIGHTRANK_SPARK_EVENTS, NIGHTRANK_SPARK_SECRET"):
        steps_of(STAGES[1:2], locate("/lake/runs/r"), shown)
