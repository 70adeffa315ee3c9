"""The configuration of a run: validated once, frozen, and read by a stage only as far as the stage declares."""

from dataclasses import FrozenInstanceError, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.context import StageContext, StageResult
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.fingerprint import fingerprint_of
from nightrank.feature_store.contracts.inputs import HOW, INPUTS
from nightrank.feature_store.contracts.scoring_settings import FilterSeenSettings, ScoringSettings
from nightrank.feature_store.contracts.secret_settings import environment_of
from nightrank.feature_store.contracts.settings import (
    CalendarSettings,
    MlflowSettings,
    SparkSettings,
    TextSettings,
)
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.pipeline.config import NightConfig, configured

NIGHT = NightConfig()
SECTIONS = {name: type(value) for name in NightConfig.model_fields if isinstance(value := getattr(NIGHT, name), FrozenConfig)}
PARTS = [(stage, part) for stage, declared in INPUTS.items() for part in declared.sections or ()]


def changed(config: Configuration, part: str) -> Configuration:
    """Another value stands in that part."""
    tree = config.tree
    branch: Any = tree
    *path, last = part.split(".")
    for key in path:
        branch = branch[key]
    branch[last] = {"changed": branch[last]}
    return Configuration.from_run(tree)


@pytest.mark.parametrize("stage", INPUTS)
def test_a_stage_is_given_the_sections_it_declares_and_refused_every_other(stage: str) -> None:
    config = Configuration.of(NIGHT).of_stage(stage)
    parts = INPUTS[stage].sections
    assert parts is not None
    allowed = {*parts, *HOW}
    every_key = {name: {f"{name}.{key}" for key in model.model_fields} for name, model in SECTIONS.items()}
    whole = {name for name in SECTIONS if name in allowed or every_key[name] <= allowed}
    for name, model in SECTIONS.items():
        if name in whole:
            assert config.section(name, model) == getattr(NIGHT, name)
        else:
            with pytest.raises(ConfigError, match=f"stage {stage} reads section {name} .*does not declare"):
                config.section(name, model)


@pytest.mark.parametrize(("stage", "part"), PARTS)
def test_what_a_stage_may_read_is_in_its_fingerprint(tmp_path: Path, stage: str, part: str) -> None:
    one = StageContext(tmp_path, "full-2024-03-02", "full", date(2024, 3, 2), 17, 0, Configuration.of(NIGHT))
    other = replace(one, config=changed(one.config, part))
    assert fingerprint_of(one, stage) != fingerprint_of(other, stage)


def test_a_part_of_a_section_opens_that_part_alone() -> None:
    config = Configuration.of(NIGHT).of_stage("build_training_set")
    assert config.section("scoring.filter_seen", FilterSeenSettings) == NIGHT.scoring.filter_seen
    with pytest.raises(ConfigError, match="reads section scoring "):
        config.section("scoring", ScoringSettings)
    assert Configuration.of(NIGHT).of_stage("gate").section("mlflow", MlflowSettings) == NIGHT.mlflow
    assert Configuration.of(NIGHT).of_stage("report").is_on("impressions.enabled") is False
    with pytest.raises(ConfigError, match=r"reads section impressions\.enabled "):
        Configuration.of(NIGHT).of_stage("train").is_on("impressions.enabled")


def test_a_stage_that_reads_what_it_does_not_declare_fails_and_says_where_to_declare_it(tmp_path: Path) -> None:
    context = StageContext(tmp_path, "full-2024-03-02", "full", date(2024, 3, 2), 17, 0, Configuration.of(NIGHT))

    def reads_text(inside: StageContext) -> StageResult:
        inside.section("text", TextSettings)
        return StageResult("release")

    assert reads_text(context).name == "release"  # outside a stage all may be read
    with pytest.raises(ConfigError, match="stage release reads section text") as fault:
        run_stage("release", reads_text, context)
    assert "inputs.py" in fault.value.remedy
    assert run_stage("embed_items", reads_text, context).name == "release"


def test_each_section_is_validated_once_and_by_the_door_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Configuration.from_run({"text": {"max_tokens": 9}})
    first = loaded.of_stage("train").section("text", TextSettings)
    assert first.max_tokens == 9
    assert loaded.of_stage("gate").section("text", TextSettings) is first
    assert Configuration.of(NIGHT).section("text", TextSettings) is NIGHT.text
    with pytest.raises(TypeError, match="section text is a TextSettings"):
        loaded.section("text", CalendarSettings)


def test_it_cannot_be_changed() -> None:
    given = {"text": {"max_tokens": 9}, "features": {"user": ["count_3d"]}}
    config = Configuration.from_run(given)
    given["text"]["max_tokens"] = 10  # type: ignore[index]
    for copy in (config.tree, config.shown):
        copy["text"]["max_tokens"] = 11
        copy["features"]["user"].append("recency_days")
    assert config.tree == config.shown == {"text": {"max_tokens": 9}, "features": {"user": ["count_3d"]}}
    with pytest.raises(FrozenInstanceError):
        config.stage = "train"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.section("text", TextSettings).max_tokens = 3


def test_what_a_run_s_file_shows_is_the_same_configuration_with_the_secrets_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configured([], ["spark.extra={fs.s3a.secret.key: not-for-files}", "scoring.k=7"])
    assert "not-for-files" not in str(config.shown) + repr(config)
    assert Configuration.from_run(config.shown).section("spark", SparkSettings).extra == {"fs.s3a.secret.key": "***"}
    for name, value in environment_of(config.tree).items():
        monkeypatch.setenv(name, value)
    child = Configuration.from_run(config.shown)
    assert child == config
    assert child.sha256 == config.sha256
    assert child.section("spark", SparkSettings) == config.section("spark", SparkSettings)
