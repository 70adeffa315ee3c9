"""What looks like a secret is hidden, and what only sounds like one is not."""

import pytest

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


def test_a_tree_is_masked_by_key_and_by_address():
    tree = {"spark": {"extra": {"a.secret.key": "x"}, "shuffle_partitions": 4}, "uri": "http://u:p@h", "keys": []}
    assert masked(tree) == {
        "spark": {"extra": {"a.secret.key": HIDDEN}, "shuffle_partitions": 4},
        "uri": "http://h",
        "keys": [],
    }
