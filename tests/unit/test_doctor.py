import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.feature_store.contracts.storage import locate
from nightrank.pipeline.doctor.ambient import check_clock, check_telemetry
from nightrank.pipeline.doctor.caches import check_caches
from nightrank.pipeline.doctor.finding import Finding, worst
from nightrank.pipeline.doctor.horovod import check_horovod, check_own_name
from nightrank.pipeline.doctor.java import check_java
from nightrank.pipeline.doctor.machine import Machine, Output
from nightrank.pipeline.doctor.places import check_places
from nightrank.pipeline.doctor.python_env import check_compiled, check_interpreters, check_packages, check_pyarrow
from nightrank.pipeline.doctor.spark import check_data_loss, check_trio
from nightrank.pipeline.doctor.tracking import check_mlflow

NOW = datetime(2026, 3, 12, 6, 0, tzinfo=UTC)
SETTINGS = DataSettings()
JDK = 'openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)\n'


def configured(**sections):
    return DataSettings.model_validate(sections)


def machine(tmp_path, answers=None, **changes):
    """A machine whose programs say what `answers` maps a word of their command line to."""

    def run(command, environ):
        for word, output in (answers or {}).items():
            if any(word in part for part in command):
                return output
        return Output(None, "", "No such file or directory")

    facts = {"environ": {"PATH": ""}, "home": tmp_path, "run": run, "now": lambda: NOW, **changes}
    return Machine(**facts)


def only(findings):
    assert len(findings) == 1
    finding = findings[0]
    assert finding.status == "ok" or finding.remedy, "a finding that is not ok names its remedy"
    return finding


def put(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_whole_jdk_17_is_fine(tmp_path):
    answers = {"-version": Output(0, "", JDK), "--list-modules": Output(0, "java.base@17\njdk.incubator.vector@17\n", "")}
    finding = only(check_java(machine(tmp_path, answers)))
    assert finding.status == "ok" and "17.0.15, OpenJDK Runtime Environment" in finding.seen


@pytest.mark.parametrize(
    ("version", "modules", "status", "says"),
    [
        (Output(None, "", "No such file or directory: 'java'"), "", "fail", "does not run"),
        (Output(0, "", JDK.replace("17.0.15", "11.0.2")), "jdk.incubator.vector@11", "fail", "11.0.2"),
        (Output(0, "", JDK.replace('"17.0.15"', '"1.8.0_392"')), "", "fail", "1.8.0_392"),
        (Output(0, "", JDK), "java.base@17", "fail", "jdk.incubator.vector"),
        (Output(0, "", JDK.replace("17.0.15", "21.0.1")), "jdk.incubator.vector@21", "warn", "tested on 17"),
    ],
)
def test_a_java_that_spark_cannot_use(tmp_path, version, modules, status, says):
    finding = only(check_java(machine(tmp_path, {"-version": version, "--list-modules": Output(0, modules, "")})))
    assert finding.status == status and says in finding.seen


def test_java_home_wins_over_the_path(tmp_path):
    finding = only(check_java(machine(tmp_path, environ={"JAVA_HOME": "/opt/nowhere"})))
    assert finding.seen.startswith("/opt/nowhere/bin/java does not run")


def test_the_installed_trio_matches():
    finding = only(check_trio(Machine({}, Path.home()), SETTINGS))
    assert finding.status == "ok" and "Spark 4.0.5, Scala 2.13, Delta 4.0.1" in finding.seen


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("io.delta:delta-spark_2.12:4.0.1", "for Scala 2.12"),
        ("io.delta:delta-spark_2.13:4.0.0", "the package is 4.0.0, the wheel 4.0.1"),
        ("org.example:other:1", "names no io.delta:delta-spark"),
    ],
)
def test_a_package_that_does_not_fit(package, says):
    finding = only(check_trio(Machine({}, Path.home()), configured(spark={"packages": (package,)})))
    assert finding.status == "fail" and says in finding.seen


def test_a_spark_home_of_another_spark_is_named(tmp_path):
    put(tmp_path / "spark" / "jars" / "spark-core_2.12-3.5.1.jar")
    finding = only(check_trio(machine(tmp_path, environ={"SPARK_HOME": str(tmp_path / "spark")}), SETTINGS))
    assert finding.status == "fail" and "unset SPARK_HOME" in finding.seen


def test_a_jar_folder_without_delta_is_named(tmp_path):
    finding = only(check_trio(Machine({}, tmp_path), configured(spark={"jar_folder": str(tmp_path)})))
    assert finding.status == "fail" and "holds delta-spark None" in finding.seen


def test_this_python_is_the_same_on_both_sides():
    finding = only(check_interpreters(Machine({"PATH": ""}, Path.home()), SETTINGS))
    assert finding.status == "ok"


def test_an_executor_python_with_other_packages_is_named(tmp_path):
    other = put(tmp_path / "python", f'#!/bin/sh\n{sys.executable} -I "$@" | sed "s/14.0.2/15.0.0/"\n')
    other.chmod(0o755)
    finding = only(check_interpreters(Machine({"PATH": "/usr/bin:/bin", "PYSPARK_PYTHON": str(other)}, tmp_path), SETTINGS))
    assert (finding.status, finding.seen) == ("fail", "pyarrow: driver 14.0.2, executor 15.0.0")


def test_a_setting_wins_over_the_variable_and_may_name_nothing(tmp_path):
    settings = configured(spark={"extra": {"spark.pyspark.python": "/nowhere/python"}})
    finding = only(check_interpreters(Machine({"PATH": "", "PYSPARK_PYTHON": sys.executable}, tmp_path), settings))
    assert finding.status == "fail" and "executor's /nowhere/python did not start" in finding.seen


def test_executors_of_a_cluster_are_not_vouched_for():
    finding = only(check_interpreters(Machine({"PATH": ""}, Path.home()), configured(spark={"master": "spark://m:7077"})))
    assert finding.status == "warn" and "spark://m:7077" in finding.seen


@pytest.mark.parametrize(("version", "status"), [("11.0.0", "fail"), ("12.0.0", "ok"), ("14.0.2", "ok"), ("15.0.0", "fail")])
def test_the_range_of_pyarrow(version, status):
    assert only(check_pyarrow(version)).status == status


def test_every_requirement_is_met_here():
    assert only(check_packages()).status == "ok"


def test_compiled_parts_load_here_and_are_named_where_they_do_not():
    assert only(check_compiled()).status == "ok"
    missing = only(check_compiled(["nightrank.trainer.data._foreign"]))
    assert missing.status == "fail" and "nightrank.trainer.data._foreign does not load" in missing.seen


def horovod_says(tmp_path, **changes):
    facts = {"horovod": "0.28.1", "torch": "2.12.1", "built_for": "2.12.1", "gpus": 0, "gloo": True, "nccl": False, **changes}
    return only(check_horovod(machine(tmp_path, {"-c": Output(0, f"noise\n{json.dumps(facts)}\n", "")})))


def test_horovod_built_for_this_torch_is_fine(tmp_path):
    assert horovod_says(tmp_path).status == "ok"


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"built_for": "2.11.0"}, "fail", "built against torch 2.11.0, installed is 2.12.1"),
        ({"error": "undefined symbol"}, "fail", "undefined symbol"),
        ({"gloo": False}, "fail", "no transport"),
        ({"gpus": 2}, "warn", "2 GPUs would exchange data through the host's memory"),
    ],
)
def test_a_horovod_that_does_not_fit(tmp_path, changes, status, says):
    finding = horovod_says(tmp_path, **changes)
    assert finding.status == status and says in finding.seen and "nightrank horovod" in finding.remedy


def test_a_horovod_that_cannot_be_imported(tmp_path):
    answers = {"-c": Output(1, "", "Traceback\nModuleNotFoundError: No module named 'horovod'")}
    finding = only(check_horovod(machine(tmp_path, answers)))
    assert finding.status == "fail" and "No module named 'horovod'" in finding.seen


def test_a_name_that_does_not_resolve(tmp_path):
    def unresolved():
        raise OSError(-2, "Name or service not known")

    finding = only(check_own_name(machine(tmp_path, own_name=unresolved)))
    assert finding.status == "fail" and "/etc/hosts" in finding.remedy


def test_empty_caches_are_fine(tmp_path):
    assert only(check_caches(machine(tmp_path), SETTINGS)).status == "ok"


def test_a_pom_of_delta_without_its_jar_fails(tmp_path):
    folder = tmp_path / ".m2/repository/io/delta/delta-storage/4.0.1"
    put(folder / "delta-storage-4.0.1.pom", "<project/>")
    finding = only(check_caches(machine(tmp_path), SETTINGS))
    assert finding.status == "fail" and "io.delta:delta-storage" in finding.seen and finding.remedy == f"rm -r {folder}"
    put(folder / "delta-storage-4.0.1.jar")
    assert only(check_caches(machine(tmp_path), SETTINGS)).status == "ok"


def test_a_parent_pom_has_no_jar_and_a_foreign_hole_is_a_warning(tmp_path):
    put(tmp_path / ".m2/repository/org/parent/1/parent-1.pom", "<project><packaging>pom</packaging></project>")
    assert only(check_caches(machine(tmp_path), SETTINGS)).status == "ok"
    put(tmp_path / ".m2/repository/org/other/lib/2/lib-2.pom", "<project/>")
    finding = only(check_caches(machine(tmp_path), SETTINGS))
    assert finding.status == "warn" and "org.other:lib" in finding.seen


def test_a_hole_in_ivys_cache_fails(tmp_path):
    module = tmp_path / ".ivy2.5.2/cache/io.delta/delta-spark_2.13"
    put(module / "ivy-4.0.1.xml.original", "<project/>")
    finding = only(check_caches(machine(tmp_path), SETTINGS))
    assert finding.status == "fail" and "io.delta:delta-spark_2.13" in finding.seen
    put(module / "jars/delta-spark_2.13-4.0.1.jar")
    assert only(check_caches(machine(tmp_path), SETTINGS)).status == "ok"


def places(found):
    return {finding.name: finding for finding in found}


def test_places_are_measured_for_a_lake_that_is_not_there_yet(tmp_path):
    lake = tmp_path / "a" / "lake"
    found = places(check_places(machine(tmp_path, environ={"TMPDIR": str(tmp_path)}), SETTINGS, locate(lake)))
    assert set(found) == {"free_disk_lake", "write_access_lake", "free_disk_tmp", "write_access_tmp"}
    assert found["write_access_lake"].status == "ok" and str(lake) in found["free_disk_lake"].seen
    assert not lake.exists() and list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_files(tmp_path):
    found = places(check_places(machine(tmp_path, environ={"TMPDIR": str(tmp_path)}), SETTINGS, locate("/proc/lake")))
    assert found["write_access_lake"].status == "fail" and "cannot write to /proc" in found["write_access_lake"].seen


def test_a_full_disk(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 2**30})
    monkeypatch.setattr("nightrank.pipeline.doctor.places.shutil.disk_usage", lambda path: usage)
    found = places(check_places(machine(tmp_path, environ={"TMPDIR": str(tmp_path)}), SETTINGS, None))
    assert found["free_disk_tmp"].status == "fail" and "1.0 GiB" in found["free_disk_tmp"].seen


def test_a_clock_without_a_battery(tmp_path):
    finding = only(check_clock(machine(tmp_path, now=lambda: datetime(1970, 1, 1, tzinfo=UTC)), SETTINGS, None))
    assert finding.status == "fail" and "1970-01-01" in finding.seen


def test_a_clock_that_runs_backwards(tmp_path):
    readings = iter([5.0, 4.0])
    finding = only(check_clock(machine(tmp_path, monotonic=lambda: next(readings)), SETTINGS, None))
    assert finding.status == "fail" and "1.000 s" in finding.seen


def test_an_unknown_zone(tmp_path):
    finding = only(check_clock(machine(tmp_path), configured(calendar={"timezone": "Europe/Atlantis"}), None))
    assert finding.status == "fail" and "Europe/Atlantis" in finding.seen


def test_landing_days_in_the_future_are_told(tmp_path):
    for day in (NOW, NOW + timedelta(days=30)):
        (tmp_path / "landing/events" / f"day={day:%Y-%m-%d}").mkdir(parents=True)
    finding = only(check_clock(machine(tmp_path), SETTINGS, tmp_path))
    assert finding.status == "warn" and "1 landing day(s) in the future, up to 2026-04-11" in finding.seen


@pytest.mark.parametrize(
    ("environ", "status", "seen"),
    [
        ({}, "warn", "Hugging Face hub and MLflow may send usage data"),
        ({"HF_HUB_DISABLE_TELEMETRY": "1"}, "warn", "MLflow may send usage data"),
        ({"HF_HUB_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}, "ok", "off"),
        ({"DO_NOT_TRACK": "1"}, "ok", "off"),
        ({"DO_NOT_TRACK": "0"}, "warn", "may send"),
    ],
)
def test_telemetry_switches(tmp_path, environ, status, seen):
    finding = only(check_telemetry(machine(tmp_path, environ=environ)))
    assert finding.status == status and seen in finding.seen


@pytest.mark.parametrize("text", ["spark.sql.files.ignoreMissingFiles true", "spark.sql.files.ignoreMissingFiles=TRUE"])
def test_a_spark_default_that_loses_data(tmp_path, text):
    put(tmp_path / "conf/spark-defaults.conf", f"# ours\n\nspark.ui.enabled false\n{text}\n")
    finding = only(check_data_loss(machine(tmp_path, environ={"SPARK_CONF_DIR": str(tmp_path / "conf")}), SETTINGS))
    assert finding.status == "fail" and "a table reads as shorter" in finding.seen and "spark-defaults.conf" in finding.seen


def test_data_loss_by_submit_arguments_and_by_configuration(tmp_path):
    submit = {"PYSPARK_SUBMIT_ARGS": "--conf spark.sql.files.ignoreCorruptFiles=true pyspark-shell"}
    assert only(check_data_loss(machine(tmp_path, environ=submit), SETTINGS)).status == "fail"
    extra = configured(spark={"extra": {"spark.databricks.delta.retentionDurationCheck.enabled": "false"}})
    finding = only(check_data_loss(machine(tmp_path), extra))
    assert finding.status == "warn" and "VACUUM" in finding.seen


def test_harmless_settings_are_fine(tmp_path):
    extra = {"spark.sql.files.ignoreMissingFiles": "false", "spark.ui.enabled": "true"}
    assert only(check_data_loss(machine(tmp_path), configured(spark={"extra": extra}))).status == "ok"


def test_no_server_no_complaint():
    assert only(check_mlflow(SETTINGS)).status == "ok"


def test_a_server_that_does_not_answer_and_no_password_in_the_finding():
    finding = only(check_mlflow(configured(mlflow={"tracking_uri": "http://me:secret@127.0.0.1:9"})))
    assert finding.status == "fail" and "http://127.0.0.1:9 does not answer" in finding.seen
    assert "secret" not in finding.seen + finding.remedy and "MLFLOW_TRACKING_PASSWORD" in finding.remedy


def test_a_sqlite_store_in_a_folder_that_is_not_there(tmp_path):
    finding = only(check_mlflow(configured(mlflow={"tracking_uri": f"sqlite:///{tmp_path}/gone/m.db"})))
    assert finding.status == "warn" and "gone" in finding.seen


def test_the_worst_finding_counts():
    findings = [Finding("a", "ok", ""), Finding("b", "fail", "", "r"), Finding("c", "warn", "", "r")]
    assert worst(findings) == "fail" and worst([]) == "ok"


def test_the_command_prints_one_object_and_ends_with_1_on_a_failure(tmp_path):
    program = (
        "import sys; from nightrank.feature_store.contracts.storage import locate; from nightrank.pipeline.doctor import main; "
        "sys.exit(main(locate(sys.argv[1]), True))"
    )
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "JAVA_HOME": "/nowhere"}
    command = [sys.executable, "-c", program, str(tmp_path / "lake")]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    body = json.loads(done.stdout)
    found = {finding["name"]: finding for finding in body["findings"]}
    assert (done.returncode, body["status"], found["java"]["status"]) == (1, "fail", "fail"), done.stderr
    assert set(found["java"]) == {"name", "status", "seen", "remedy"}
    assert found["horovod"]["status"] == "ok" and "built against torch" in found["horovod"]["seen"]
