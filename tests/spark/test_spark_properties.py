"""Spark's settings reach a new JVM by a file: as they were written, and on no command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.spark_properties import ARGUMENTS, as_properties, check_arguments, handed_over

CANARY = "canary-4711-value"
EXTRA = {
    "spark.hadoop.fs.s3a.secret.key": f"{CANARY} # : = ! \\\\ ü",
    "spark.hadoop.with:colon": "a\\nb",
    "spark.sql.shuffle.partitions": "3",
}
PROGRAM = """
import json, os
from pathlib import Path
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.session import get_session

extra = json.loads(os.environ.pop("EXTRA"))
session = get_session(SparkSettings(driver_memory="512m", packages=(), extra=extra))
seen = [path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
conf = session.sparkContext.getConf()
print(
    json.dumps(
        {
            "conf": {key: conf.get(key) for key in extra},
            "java": sum("SparkSubmit" in line for line in seen),
            "shown": [line for line in seen if os.environ["CANARY"] in line],
            "arguments": os.environ.get("PYSPARK_SUBMIT_ARGS"),
            "sql": session.conf.get("spark.sql.shuffle.partitions"),
        }
    )
)
"""


def test_a_jvm_has_the_settings_and_no_command_line_does():
    environment = {**os.environ, "EXTRA": json.dumps(EXTRA), "CANARY": CANARY}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["conf"] == EXTRA and seen["sql"] == "3"
    assert seen["java"] >= 1 and seen["shown"] == []
    assert seen["arguments"] == os.environ.get(ARGUMENTS)


def test_the_file_is_private_holds_what_was_named_before_and_is_gone_afterwards(tmp_path, monkeypatch):
    (tmp_path / "theirs").write_text("spark.theirs=1")
    before = f"--conf spark.b=2 --properties-file {tmp_path / 'theirs'} pyspark-shell"
    monkeypatch.setenv(ARGUMENTS, before)
    with handed_over({"spark.ours": "3"}):
        flag, path, *rest = os.environ[ARGUMENTS].split()
        assert (flag, rest) == ("--properties-file", ["--load-spark-defaults", "--conf", "spark.b=2", "pyspark-shell"])
        assert Path(path).stat().st_mode & 0o777 == 0o600
        with open(path) as file:
            assert file.read() == "spark.theirs=1\nspark.ours=3\n"
    assert not Path(path).exists() and os.environ[ARGUMENTS] == before


def test_signs_that_properties_take_for_something_else_are_escaped():
    assert as_properties({"a b:c": " x\\y\n"}) == "a\\ b\\:c=\\ x\\\\y\\n\n"


def test_a_secret_among_the_jvm_s_own_arguments_is_refused():
    check_arguments({"spark.driver.extraJavaOptions": "-XX:+UseSerialGC -Djava.security.egd=file:/dev/urandom"})
    with pytest.raises(ConfigError, match=r"spark\.driver\.extraJavaOptions looks like it holds a secret") as caught:
        check_arguments({"spark.driver.extraJavaOptions": f"-Djavax.net.ssl.trustStorePassword={CANARY}"})
    assert CANARY not in caught.value.message
