"""FrozenConfig: overlays merge, overrides win, bad configuration is named with its key and value."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightrank.feature_store.contracts.config import Day, FrozenConfig, load, overlay
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import DataSettings

TREES = st.recursive(
    st.integers(0, 3),
    lambda child: st.dictionaries(st.sampled_from("abc"), child, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


def test_files_are_laid_over_each_other_and_overrides_win(tmp_path: Path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("seed: 1\nscoring: {k: 5, batch_users: 7}\n")
    second.write_text("scoring: {k: 6}\n")
    settings = load(DataSettings, [first, second], ["seed=99"])
    assert (settings.seed, settings.scoring.k, settings.scoring.batch_users) == (99, 6, 7)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("scoring.kk=3", "scoring.kk"),
        ("scoring.k=many", "scoring.k"),
        ("scoring.k=0", "scoring.k"),
        ("sede=3", "sede"),
        ("training_set.split=random", "training_set.split"),
    ],
)
def test_bad_override_names_its_key(override: str, named: str):
    with pytest.raises(ConfigError) as caught:
        load(DataSettings, overrides=[override])
    assert named in caught.value.message
    assert caught.value.remedy
    assert caught.value.exit_code == 2


def test_override_without_equals_sign_is_refused():
    with pytest.raises(ConfigError, match="key=value"):
        load(DataSettings, overrides=["seed"])


@pytest.mark.parametrize(("text", "match"), [("a: [", "not YAML"), ("- 1\n- 2\n", "holds a list, not keys")])
def test_broken_file_is_named(tmp_path: Path, text: str, match: str):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match) as caught:
        load(DataSettings, [path])
    assert "broken.yaml" in caught.value.message


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        load(DataSettings, [tmp_path / "nowhere.yaml"])


@given(MAPPINGS)
def test_overlaying_a_tree_on_itself_changes_nothing(tree: dict):
    assert overlay(tree, tree) == tree


@given(MAPPINGS, MAPPINGS)
def test_overlay_leaves_its_arguments_alone_and_keeps_every_key(base: dict, top: dict):
    before = repr((base, top))
    assert set(overlay(base, top)) == set(base) | set(top)
    assert repr((base, top)) == before


def test_settings_round_trip():
    settings = load(DataSettings, overrides=["text.encoder=none", "features.user=[count_3d, recency_days]"])
    assert DataSettings.model_validate(settings.model_dump(mode="json")) == settings


class Wanted(FrozenConfig):
    whole: int = 1
    part: float = 0.5
    yes: bool = False
    many: tuple[int, ...] = ()
    text: str = ""
    day: Day = date(2020, 1, 1)
    api_token: int = 0
    extra: dict[str, int] = {}


@pytest.mark.parametrize(
    "override",
    ['whole="2"', "whole=true", "whole=2.0", 'part="0.5"', "yes=1", "yes='true'", "many=[1, '2']", "text=3", "day=86400"],
)
def test_a_value_of_another_type_is_refused(override: str):
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load(Wanted, overrides=[override])


def test_a_file_is_as_strict_as_an_override(tmp_path: Path):
    (tmp_path / "a.yaml").write_text('whole: "2"\n')
    with pytest.raises(ConfigError, match=r"whole: .*got text: '2'"):
        load(Wanted, [tmp_path / "a.yaml"])


def test_a_whole_number_is_a_number_and_so_is_one_with_an_exponent():
    read = load(Wanted, overrides=["part=1", "many=[3, 4]"])
    assert (read.part, type(read.part), read.many) == (1.0, float, (3, 4))
    assert load(Wanted, overrides=["part=3e-4"]).part == 3e-4
    assert (
        load(Wanted, overrides=["day=2024-02-29"]).day == load(Wanted, overrides=["day='2024-02-29'"]).day == date(2024, 2, 29)
    )


@pytest.mark.parametrize(
    "override",
    [
        "api_token=CANARY",
        "extra.anything=CANARY",
        "pasword=CANARY",
        "text=[CANARY]",
        "api_token=[CANARY",
        "whole=http://u:CANARY@h/",
    ],
)
def test_an_error_never_shows_a_secret(override: str):
    with pytest.raises(ConfigError) as caught:
        load(Wanted, overrides=[override])
    assert override.partition("=")[0] in caught.value.message
    assert "CANARY" not in caught.value.message


def test_a_broken_file_is_named_by_line_and_not_quoted(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("text: a\napi_token: {CANARY\n")
    with pytest.raises(ConfigError, match=r"a\.yaml is not YAML: line 3") as caught:
        load(Wanted, [tmp_path / "a.yaml"])
    assert "CANARY" not in caught.value.message
