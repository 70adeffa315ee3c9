"""The search space and what a study is called: checked before anything is trained, with key and file in the message."""

from pathlib import Path

import pytest
import yaml

from nightrank.feature_store.contracts.config import merged
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.pipeline.config import CONF, NightConfig, packaged_names, resolve
from nightrank.trainer.tune.space import Choices, Range, applied, load_space, values_of
from nightrank.trainer.tune.spec import StudySpec, differing, load_spec

LR = "trainer.fit.learning_rate"
WIDTH = "trainer.model.width"


def space_of(tmp_path: Path, text: str, *overrides: str):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return load_space(path, resolve([], list(overrides)))


BAD = [
    ("trainer.model.encoder.dropuot: {low: 0.0, high: 0.5}", "the configuration has no key trainer.model.encoder.dropuot"),
    ("trainer.validation.max_rows: {low: 10, high: 20}", "trainer.validation.max_rows cannot be searched"),
    ("scoring.k: {choices: [1, 2]}", "scoring.k cannot be searched"),
    (f"{LR}: {{low: 0.1, high: 0.1}}", "learning_rate.*the range is empty: low 0.1 is not below high 0.1"),
    (f"{LR}: {{low: 0.0, high: 0.1, log: true}}", "log needs low above 0"),
    (f"{LR}: {{low: 0.0, high: 0.1}}", "learning_rate=0.0: .*greater than 0"),
    (f"{WIDTH}: {{choices: [64, 128]}}\n{LR}: {{low: 0.0, high: 0.1}}", "yaml: trainer.fit.learning_rate=0.0: "),
    (f"{LR}: {{low: 0.1, hihg: 0.2}}", "learning_rate.high: Field required"),
    (f"{LR}: 0.1", "learning_rate: Input should be a valid dictionary"),
    ("trainer.model.encoder.dropout: {low: 0.0, high: 0.65, step: 0.1}", "high 0.65 is not reached from low 0.0"),
    ("trainer.model.encoder.dropout: {low: 0.0, high: 1.0, step: 0.1}", "dropout=1.0: .*less than 1"),
    (f"{WIDTH}: {{choices: []}}", "width.choices: choices needs two or more different values|width: choices needs two"),
    (f"{WIDTH}: {{choices: [64, 64]}}", "two or more different"),
    (f"{WIDTH}: {{choices: [64, wide]}}", "width=wide: .*valid integer"),
    (f"{WIDTH}: {{low: 64, high: 72, step: 1}}", "width=65: .*not a multiple of encoder.heads"),
    (f"{WIDTH}: {{choices: [64, 96]}}\ntrainer.model.encoder.heads: {{choices: [2, 3]}}", "width 64 is not a multiple"),
    ("trainer.model: {choices: [1, 2]}", "trainer.model cannot be searched"),
    ("", "names no key"),
    ("- a\n", "holds a list, not keys"),
    ("a: [", "is not YAML"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_space_is_refused_by_key_and_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        space_of(tmp_path, text)
    assert str(tmp_path / "space.yaml") in caught.value.message
    assert caught.value.exit_code == 2 and caught.value.remedy


def test_an_absent_space_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml does not exist"):
        load_space(tmp_path / "nowhere.yaml", resolve([], []))


def test_keys_that_need_each_other_are_checked_together_not_against_the_defaults(tmp_path: Path) -> None:
    """Three heads do not divide the default width of 128, but both widths that may be drawn."""
    text = f"{WIDTH}: {{choices: [48, 96]}}\ntrainer.model.encoder.heads: {{choices: [2, 3]}}"
    assert space_of(tmp_path, text)[WIDTH] == Choices(choices=(48, 96))


def test_the_packaged_space_goes_with_every_packaged_configuration() -> None:
    for name in packaged_names():
        assert len(load_space(CONF / "tune.yaml", resolve([name], []), known_only=True)) >= 4
    assert "tune" not in packaged_names()


def test_keys_of_another_encoder_are_left_out_of_the_packaged_space_only() -> None:
    config = resolve([], [])
    del config["trainer"]["model"]["encoder"]["blocks"]
    assert "trainer.model.encoder.blocks" not in load_space(CONF / "tune.yaml", config, known_only=True)
    with pytest.raises(ConfigError, match=r"has no key trainer.model.encoder.blocks"):
        load_space(CONF / "tune.yaml", config)


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        (Range(low=1, high=3), [1, 3], [0, 4, 1.5, True, "1"]),
        (Range(low=0.0, high=0.6, step=0.1), [0.0, 0.30000000000000004, 0.3, 0.6], [0.35, 0.7]),
        (Range(low=1e-4, high=1e-2, log=True), [1e-4, 0.00123], [0.1]),
        (Choices(choices=("full_softmax", None)), ["full_softmax", None], ["other"]),
    ],
)
def test_what_a_dimension_holds(dimension, inside, outside) -> None:
    assert all(dimension.holds(value) for value in inside)
    assert not any(dimension.holds(value) for value in outside)


def test_params_are_set_and_read_by_dotted_keys() -> None:
    base = {"seed": 3, "trainer": {"model": {"width": 8, "item": {"use_id": True}}}}
    changed = applied(base, {WIDTH: 16, LR: 0.1})
    assert changed["trainer"] == {"model": {"width": 16, "item": {"use_id": True}}, "fit": {"learning_rate": 0.1}}
    assert base["trainer"]["model"]["width"] == 8
    assert values_of(changed, {WIDTH: 0, LR: 0, "trainer.absent": 0}) == {WIDTH: 16, LR: 0.1}


def spec(tmp_path: Path, space=None, snapshot="c" * 64, **changes) -> StudySpec:
    config = resolve(["tiny"], changes.pop("overrides", []))
    return StudySpec(
        root=str(tmp_path),
        run_id="full-2024-01-03",
        date="2024-01-03",
        snapshot=snapshot,
        config=Configuration.from_run(config),
        differing={},
        space=space or {WIDTH: Choices(choices=(8, 16))},
        **{"trials": 5, **changes},
    )


def test_another_space_snapshot_or_setting_is_another_study(tmp_path: Path) -> None:
    name = spec(tmp_path).study
    others = [
        spec(tmp_path, {WIDTH: Choices(choices=(8, 32))}),
        spec(tmp_path, snapshot="d" * 64),
        spec(tmp_path, overrides=["trainer.fit.epochs=7"]),
        spec(tmp_path, overrides=["seed=3"]),
        spec(tmp_path, overrides=["tune.pruner.name=halving"]),
    ]
    assert len({name, *(other.study for other in others)}) == 6
    shared = [sum(a == b for a, b in zip(name.split("-"), other.study.split("-"), strict=True)) for other in others]
    assert shared == [2] * 5, "each part of the name says what differs"


@pytest.mark.parametrize(
    "same",
    [{"trials": 9}, {"timeout_seconds": 3.0}, {"overrides": ["trainer.watchdog.timeout_seconds=5", "mlflow.experiment=x"]}],
)
def test_how_long_and_how_it_is_run_is_the_same_study(tmp_path: Path, same) -> None:
    assert spec(tmp_path, **same).study == spec(tmp_path).study


def test_a_spec_survives_its_file(tmp_path: Path) -> None:
    made = spec(tmp_path, {WIDTH: Choices(choices=(8, 16)), LR: Range(low=1e-4, high=1e-2, log=True)})
    made.save()
    assert load_spec(made.folder) == made and load_spec(made.folder).study == made.study


def test_a_section_of_another_kind_is_kept_whole() -> None:
    """Its defaults may not be those of the default kind."""
    defaults = {"encoder": {"name": "transformer", "dropout": 0.2, "blocks": 2}, "width": 8}
    assert differing({"encoder": {"name": "gru", "dropout": 0.2}, "width": 8}, defaults) == {
        "encoder": {"name": "gru", "dropout": 0.2}
    }
    assert differing({"encoder": {"name": "transformer", "dropout": 0.3, "blocks": 2}, "width": 8}, defaults) == {
        "encoder": {"dropout": 0.3}
    }


def test_the_overlay_of_a_configuration_is_that_configuration_again(tmp_path: Path) -> None:
    """Without where Spark and MLflow are: an address may hold a password."""
    overrides = ["trainer.workers=1", "scoring.filter_seen.actions=[rating]", "mlflow.tracking_uri=https://u:secret@host"]
    config = resolve(["demo"], overrides)
    tree = differing(config, NightConfig().model_dump(mode="json"))
    assert "secret" not in str(tree) and not {"spark", "mlflow", "tune", "evaluation"} & tree.keys()
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(applied(tree, {LR: 0.02})))
    read = resolve([str(path)], [])
    config["trainer"]["fit"]["learning_rate"] = 0.02
    assert {key: read[key] for key in read if key not in ("spark", "mlflow")} == {
        key: config[key] for key in config if key not in ("spark", "mlflow")
    }
    assert merged([path], [])["trainer"]["batch_rows"] == 16
