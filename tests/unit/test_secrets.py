"""What looks like a secret is hidden, and what only sounds like one is not."""

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable
from nightrank.feature_store.contracts.redaction import redactor
from nightrank.feature_store.contracts.secret_settings import check_whole, environment_of, restored, secrets_of
from nightrank.feature_store.contracts.secrets import HIDDEN, looks_secret, masked, without_credentials


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "spark.hadoop.fs.s3a.secret.key",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_TOKEN",
        "javax.jdo.option.ConnectionPassword",
        "accessKey",
        "HF_TOKEN",
    ],
)
def test_a_secret_is_known_by_its_key(key: str):
    assert looks_secret(key)


@pytest.mark.parametrize("key", ["text.max_tokens", "trainer.micro_batch_tokens", "monkey", "authors", "spark.master", "seed"])
def test_a_plain_key_is_not(key: str):
    assert not looks_secret(key)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://u:p@host:5000/a", "https://host:5000/a"),
        ("postgresql://u:p%40x@host/db?sslmode=require", "postgresql://host/db?sslmode=require"),
        ("redis://:p@host:6379/0", "redis://host:6379/0"),
        ("redis://u:p@ss@host:6379/0", "redis://host:6379/0"),
        ("https://host/a?token=t&page=2", f"https://host/a?token={HIDDEN}&page=2"),
        ("sqlite:///folder/mlflow.db", "sqlite:///folder/mlflow.db"),
        ("cannot reach http://u:p@host: refused", "cannot reach http://host: refused"),
    ],
)
def test_an_address_is_shown_without_user_and_password(address: str, shown: str):
    assert without_credentials(address) == shown


def test_of_free_settings_only_numbers_sizes_and_switches_are_shown():
    extra = {"spark.a": "4", "spark.b": "true", "spark.c": "512m", "spark.d": "-Dx.password=y", "spark.e": "anything"}
    shown = {"spark.a": "4", "spark.b": "true", "spark.c": "512m", "spark.d": HIDDEN, "spark.e": HIDDEN}
    assert masked({"spark": {"extra": extra}}) == {"spark": {"extra": shown}}


def test_the_name_of_a_variable_is_shown_and_travels_in_no_other():
    tree = {"spark": {"extra": {"spark.authenticate.secret": "${env:A_SECRET}", "spark.b": "x${env:A_SECRET}"}}}
    assert masked(tree) == {"spark": {"extra": {"spark.authenticate.secret": "${env:A_SECRET}", "spark.b": HIDDEN}}}
    assert [path[-1] for path, _ in secrets_of(tree)] == ["spark.b"]


def test_what_says_where_a_secret_is_holds_none():
    assert masked({"ids": {"key_file": "/etc/nightrank/users"}}) == {"ids": {"key_file": "/etc/nightrank/users"}}


def test_hidden_settings_come_back_from_the_environment_alone():
    config = {"mlflow": {"tracking_uri": "http://u:p@h/"}, "spark": {"extra": {"spark.a.b": "one", "spark.c": "3"}}, "seed": 4}
    shown = masked(config)
    assert "one" not in str(shown) and "u:p" not in str(shown)
    assert restored(shown, environment_of(config)) == config
    assert restored(shown, {}) == shown
    with pytest.raises(ConfigError, match=r"^spark\.extra\.spark\.a\.b: a run's folder stores no secrets"):
        check_whole(restored(shown, {}), "a run's folder")
    check_whole(restored(shown, environment_of(config)), "a run's folder")


def test_a_configuration_without_secrets_needs_no_variable():
    assert environment_of({"seed": 4, "spark": {"extra": {"spark.c": "3"}}}) == {}


def test_text_is_free_of_the_secrets_a_process_knows():
    environ = {
        "MY_TOKEN": "long-enough-1",
        "SHORT_TOKEN": "train",
        "DATABASE": "redis://:p%40ssword-2@h:1/0",
        "HOME": "/home/me",
    }
    redact = redactor({"spark": {"extra": {"spark.x": "extra-secret-3"}}}, environ)
    line = "train long-enough-1 p@ssword-2 p%40ssword-2 extra-secret-3 http://a:b@h/ /home/me"
    assert redact(line) == "train *** *** *** *** http://h/ /home/me"


def test_an_error_shows_no_user_and_password():
    error = DependencyUnreachable("MLflow at http://u:p@h:1: ConnectionError: http://u:p@h:1/api", "mend redis://:p@h")
    assert (error.message, error.remedy) == ("MLflow at http://h:1: ConnectionError: http://h:1/api", "mend redis://h")
    assert str(error) == error.message


def test_a_tree_is_masked_by_key_and_by_address():
    tree = {"spark": {"extra": {"a.secret.key": "x"}, "shuffle_partitions": 4}, "uri": "http://u:p@h", "keys": []}
    assert masked(tree) == {
        "spark": {"extra": {"a.secret.key": HIDDEN}, "shuffle_partitions": 4},
        "uri": "http://h",
        "keys": [],
    }


def test_a_working_folder_is_no_password():
    redact = redactor({}, {"PWD": "/somewhere/project", "DB_PWD": "a-long-password"})
    assert redact("/somewhere/project/x.py a-long-password") == "/somewhere/project/x.py ***"
