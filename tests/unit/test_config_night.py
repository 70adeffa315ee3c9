"""The whole configuration: every file in conf/ is valid, it survives the way through run.json, and it refuses nonsense."""

from pathlib import Path

import pytest

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.pipeline.config import NightConfig, packaged_names, resolve
from nightrank.spark_jobs.driver import submit


@pytest.mark.parametrize("name", packaged_names())
def test_every_packaged_configuration_is_valid_and_says_only_what_differs(name: str) -> None:
    assert resolve([name], []) != resolve([], [])


def test_a_resolved_configuration_reads_back_as_itself() -> None:
    resolved = resolve(["demo"], ["trainer.workers=1", "scoring.k=7"])
    assert validate(NightConfig, resolved).model_dump(mode="json") == resolved
    assert (resolved["trainer"]["workers"], resolved["scoring"]["k"]) == (1, 7)


def test_later_files_and_set_win(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 3\nscoring: {k: 4}\n")
    resolved = resolve(["demo", str(tmp_path / "mine.yaml")], ["seed=9"])
    assert (resolved["seed"], resolved["scoring"]["k"], resolved["trainer"]["batch_rows"]) == (9, 4, 16)


@pytest.mark.parametrize("phase", ["fit", "refit", "night"])
def test_one_key_of_a_phase_leaves_its_other_defaults(phase: str) -> None:
    default = resolve([], [])["trainer"][phase]
    assert resolve([], [f"trainer.{phase}.epochs=7"])["trainer"][phase] == {**default, "epochs": 7}


BAD = [
    (["trainer.optimiser.beta1=0.9"], "trainer.optimiser"),
    (["scoring.k=0"], "scoring.k"),
    (["scoring.k=many"], "scoring.k"),
    (["trainer.model.width=65"], "not a multiple of encoder.heads"),
    (["ids.hash_users=true"], "ids.key_file"),
    (["training_set.max_length=10"], "training_set.overlap 25 is not below"),
    (["gate.rule=always"], "gate.rule"),
    (["scoring"], "key=value"),
]


@pytest.mark.parametrize(("overrides", "message"), BAD)
def test_bad_configuration_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve([], overrides)
    assert caught.value.exit_code == 2 and caught.value.remedy


def test_a_later_file_that_takes_another_ranker_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert resolve(["models/gru", "tiny"], [])["trainer"]["model"]["encoder"]["name"] == "transformer"
    printed = capsys.readouterr().err
    assert (
        "tiny comes after models/gru and sets the ranker from gru to transformer; give models/gru last to keep gru" in printed
    )
    assert resolve(["tiny", "models/transformer"], [])["trainer"]["model"]["encoder"]["name"] == "transformer"
    assert "sets the ranker" not in capsys.readouterr().err


def test_an_unknown_file_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(["demon"], [])
    assert "demo" in caught.value.remedy


def test_the_data_jobs_know_every_section_of_a_night() -> None:
    """They read their own and pass over the others; a section they have never heard of is a misspelt one."""
    assert set(NightConfig.model_fields) - set(DataSettings.model_fields) == submit.OTHERS
