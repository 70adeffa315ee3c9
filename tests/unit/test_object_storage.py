"""What Spark and delta-rs are told of a lake's storage, from the environment alone; and what their faults mean."""

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.object_storage import spark
from nightrank.feature_store.object_storage.addresses import storage_options
from nightrank.feature_store.object_storage.faults import fault_of
from nightrank.feature_store.object_storage.jars import EXCLUDES, JARS, PACKAGES, jar_properties
from nightrank.feature_store.object_storage.spark import SparkAccess, spark_access

SECRETS = {"AWS_ACCESS_KEY_ID": "AKIA0", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_SESSION_TOKEN": "canary"}
OWN_SERVER = {**SECRETS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_REGION": "eu-north-1"}
DELTA = SparkSettings().packages[0]


@pytest.fixture(autouse=True)
def built(tmp_path, monkeypatch):
    jar = tmp_path / "log_store.jar"
    jar.touch()
    monkeypatch.setattr(spark, "LOG_STORE_JAR", jar)
    return jar


PATIENT = {
    "max_retries": "10000",
    "retry_timeout": "60000ms",
    "backoff_config.init_backoff": "100ms",
    "backoff_config.max_backoff": "5000ms",
    "backoff_config.base": "6.0",
    "timeout": "30000ms",
}
"""delta-rs waits for a bucket as long as our own client."""


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ("s3://b/some/key", "s3a://b/some/key"),
        ("s3a://b/s3", "s3a://b/s3"),
        ("gs://b/k", "gs://b/k"),
        ("abfss://c@a.dfs.core.windows.net/k", "abfss://c@a.dfs.core.windows.net/k"),
        ("/some/lake", "/some/lake"),
    ],
)
def test_spark_is_given_hadoops_scheme(place, uri):
    assert locate(place).hadoop == uri


def test_a_lake_on_a_disk_changes_nothing_of_a_session(tmp_path):
    access = spark_access(locate(tmp_path), OWN_SERVER)
    assert access == SparkAccess()
    assert jar_properties(SparkSettings(), access) == {PACKAGES: DELTA}
    assert storage_options(locate(tmp_path), OWN_SERVER) is None


def test_a_server_of_ones_own_is_asked_by_path_and_without_tls():
    found = spark_access(locate("s3://b/k"), OWN_SERVER).properties
    assert found["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:9000"
    assert found["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert found["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "false"
    assert found["spark.hadoop.fs.s3a.endpoint.region"] == "eu-north-1"
    assert storage_options(locate("s3://b/k"), OWN_SERVER) == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_REGION": "eu-north-1",
        "AWS_ALLOW_HTTP": "true",
        "conditional_put": "etag",
        **PATIENT,
    }


def test_amazons_own_server_is_found_by_the_libraries():
    found = spark_access(locate("s3://b/k"), SECRETS).properties
    assert not any(name.startswith("spark.hadoop.fs.s3a.endpoint") or "path.style" in name for name in found)
    assert storage_options(locate("s3://b/k"), SECRETS) == {"conditional_put": "etag", **PATIENT}


def test_the_address_for_s3_alone_comes_first():
    given = {**OWN_SERVER, "AWS_ENDPOINT_URL_S3": "https://s3.here", "AWS_DEFAULT_REGION": "other"}
    found = spark_access(locate("s3://b/k"), given).properties
    assert found["spark.hadoop.fs.s3a.endpoint"] == "https://s3.here"
    assert found["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "true"
    assert found["spark.hadoop.fs.s3a.endpoint.region"] == "eu-north-1"


@pytest.mark.parametrize("place", ["s3://b/k", "gs://b/k", "abfss://c@a.dfs.core.windows.net/k"])
def test_no_credential_is_among_what_spark_and_delta_are_given(place):
    where = locate(place)
    access = spark_access(where, OWN_SERVER)
    told = {**access.properties, **jar_properties(SparkSettings(), access), **(storage_options(where, OWN_SERVER) or {})}
    assert not any("canary" in value or "AKIA0" in value for value in told.values())


def test_packages_of_the_storage_come_beside_those_of_the_settings(built):
    found = jar_properties(SparkSettings(), spark_access(locate("s3://b/k"), {}))
    assert found[PACKAGES].split(",") == [DELTA, *spark.S3_PACKAGES]
    assert found[JARS] == str(built) and "software.amazon.awssdk:bundle" in found[EXCLUDES]


def test_another_version_that_the_user_names_stays():
    own = "org.apache.hadoop:hadoop-aws:3.4.2"
    found = jar_properties(SparkSettings(packages=(DELTA, own)), spark_access(locate("s3://b/k"), {}))
    assert [package for package in found[PACKAGES].split(",") if "hadoop-aws" in package] == [own]


def test_what_extra_says_is_added_to(built):
    extra = {JARS: "/mine.jar", PACKAGES: "a:b:1"}
    found = jar_properties(SparkSettings(extra=extra), spark_access(locate("s3://b/k"), {}))
    assert found[JARS] == f"/mine.jar,{built}"
    assert found[PACKAGES].split(",") == ["a:b:1", *spark.S3_PACKAGES]


def test_a_cluster_that_has_every_package_is_given_our_jar_alone(built):
    assert jar_properties(SparkSettings(packages=()), spark_access(locate("s3://b/k"), {})) == {JARS: str(built)}


def test_a_folder_of_jars_must_hold_the_connector(tmp_path, built):
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / "io.delta_delta-spark_2.13-4.0.1.jar").touch()
    settings, access = SparkSettings(jar_folder=str(folder)), spark_access(locate("s3://b/k"), {})
    with pytest.raises(ConfigError, match="no hadoop-aws jar"):
        jar_properties(settings, access)
    (folder / "hadoop-aws-3.4.1.jar").touch()
    found = jar_properties(settings, access)
    assert PACKAGES not in found
    assert found[JARS] == f"{folder}/hadoop-aws-3.4.1.jar,{folder}/io.delta_delta-spark_2.13-4.0.1.jar,{built}"


def test_a_log_store_that_was_not_built_is_named_before_a_session_starts(built):
    built.unlink()
    with pytest.raises(ConfigError, match=r"log_store\.jar is absent") as raised:
        spark_access(locate("s3://b/k"), {})
    assert "make setup" in raised.value.remedy


@pytest.mark.parametrize(("seconds", "retries"), [("60", 7), ("2", 2), ("0.1", 1)])
def test_retries_fill_the_seconds_that_a_bucket_may_be_silent(seconds, retries):
    found = spark_access(locate("s3://b/k"), {"NIGHTRANK_STORAGE_SECONDS": seconds}).properties
    assert found["spark.hadoop.fs.s3a.retry.limit"] == str(retries)


S3A = "org.apache.hadoop.fs.s3a."


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        (f"{S3A}UnknownStoreException: `s3a://b/': getFileStatus", ConfigError, "does not exist"),
        ("Kernel error -> Generic S3 error: <Code>NoSuchBucket</Code>", ConfigError, "does not exist"),
        ("java.nio.file.AccessDeniedException: s3a://b/k: (Service: S3, Status Code: 403)", ConfigError, "(403)"),
        ("The operation lacked the necessary privileges to complete for path t/_delta_log", ConfigError, "(403)"),
        (f"{S3A}auth.NoAuthWithAWSException: s3a://b/k", ConfigError, "credentials"),
        (f"{S3A}AWSRedirectException: s3a://b/k", ConfigError, "another region"),
        ("AccessDeniedException: s3a://b/k: (Service: S3, Status Code: 403) RequestTimeTooSkewed", ConfigError, "its clock"),
        (f"Class {S3A}S3AFileSystem not found s3a://b", ConfigError, "no library"),
        (f"{S3A}AWSServiceThrottledException: s3a://b/k: (Service: S3, Status Code: 503)", DependencyUnreachable, "answer"),
        ("java.net.ConnectException: open on s3a://b/k: refused", DependencyUnreachable, "answer"),
        ("Generic S3 error: error sending request", DependencyUnreachable, "answer"),
    ],
)
def test_a_fault_of_the_bucket_says_what_to_do(text, kind, says):
    fault = fault_of(locate("s3://b/k"), OSError(text))
    assert type(fault) is kind and says in fault.message and fault.remedy


@pytest.mark.parametrize(
    "text", ["java.net.ConnectException: worker 3 refused", "AccessDeniedException: /tmp/x", "s3a://b/k: odd"]
)
def test_other_faults_stay_as_they_are(text):
    assert fault_of(locate("s3://b/k"), OSError(text)) is None


def test_a_lake_on_a_disk_has_no_fault_of_a_bucket():
    assert fault_of(locate("/lake"), OSError("java.net.ConnectException: s3a://elsewhere/k")) is None
