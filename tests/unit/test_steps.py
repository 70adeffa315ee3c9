"""Which processes take a run's stages, on this machine and on a cluster, and what spark-submit is given."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline_fakes import landed_lake, request_for, trace, write_stage

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.storage import locate
from nightrank.pipeline.progress import LineProgress
from nightrank.pipeline.run.steps import Step, steps_of
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import STAGES, Stage

RUN = locate("/lake/runs/r")
MASTER = "spark://host:7077"
LISTED = tuple(stage for stage in STAGES if stage.switch is None)
ON_SPARK = LISTED[1:]
"""From the first Spark stage on."""
SHARED = [
    ["check_day"],
    ["ingest_events", "build_features", "embed_items", "build_training_set", "score_baselines"],
    ["train"],
    ["register"],
    ["evaluate"],
    ["gate"],
    ["score_users", "release", "maintain_tables"],
    ["report"],
    ["verdict"],
]


def steps(todo: tuple[Stage, ...] = ON_SPARK, **spark: object) -> list[Step]:
    return steps_of(todo, RUN, Configuration.from_run({"spark": spark}))


def names(found: list[Step]) -> list[list[str]]:
    return [[stage.name for stage in step.stages] for step in found]


def option(step: Step, name: str) -> str | None:
    return step.command[step.command.index(name) + 1] if name in step.command else None


@pytest.mark.parametrize("master", ["local[2]", MASTER, "yarn", None])
def test_neighbours_on_spark_are_one_step_whatever_the_master(master):
    assert names(steps(LISTED, master=master)) == SHARED


@pytest.mark.parametrize("master", ["local[2]", MASTER])
def test_each_stage_is_an_application_where_that_is_asked_for(master):
    assert names(steps(LISTED, master=master, application="stages")) == [[stage.name] for stage in LISTED]


def test_a_local_step_is_a_module_of_this_python_and_needs_no_file():
    host, train, *_ = steps()
    assert host.command[:3] == (sys.executable, "-m", "nightrank.spark_jobs.driver.host")
    assert train.command == (sys.executable, "-m", "nightrank.trainer.stages.train", "--run-dir", str(RUN))
    assert all(not step.properties for step in steps())


def test_a_group_on_a_cluster_is_one_spark_submit_of_the_host():
    group, train, *_ = steps(master=MASTER, driver_memory="3g", packages=["a:b:1", "c:d:2"])
    assert Path(group.command[0]).name == "spark-submit"
    assert (option(group, "--master"), option(group, "--driver-memory")) == (MASTER, "3g")
    assert option(group, "--packages") == "a:b:1,c:d:2"
    program = group.command.index(option(group, "--packages") or "") + 1
    assert group.command[program].endswith("spark_jobs/driver/host.py")
    assert group.command[program + 1 :] == ("--run-dir", str(RUN), "--stages", ",".join(SHARED[1]))
    assert "spark-submit" not in train.command[0] and not train.properties


def test_one_stage_on_a_cluster_is_the_job_itself():
    (step,) = steps(ON_SPARK[:1], master=MASTER)
    assert step.command[-3].endswith("spark_jobs/ingest_events.py") and step.command[-2:] == ("--run-dir", str(RUN))


def test_no_master_in_the_settings_leaves_it_to_spark_submit():
    assert option(steps(master=None)[0], "--master") is None


def test_what_spark_extra_names_itself_stands_on_no_command_line(tmp_path):
    extra = {"spark.driver.memory": "5g", "spark.jars.packages": "x:y:3"}
    named = steps(master=MASTER, extra=extra)[0]
    assert option(named, "--driver-memory") is None and option(named, "--packages") is None
    assert extra.items() <= named.properties.items()
    (tmp_path / "delta-spark.jar").touch()
    assert option(steps(master=MASTER, jar_folder=str(tmp_path))[0], "--jars") == str(tmp_path / "delta-spark.jar")
    assert option(steps(master=MASTER, jar_folder=str(tmp_path), extra={"spark.jars": "z"})[0], "--jars") is None


def test_all_of_spark_extra_reaches_spark_submit_by_a_private_file_that_is_gone_afterwards():
    extra = {"spark.executor.memory": "4g", "spark.executor.cores": "2", "spark.hadoop.fs.s3a.secret.key": "canary"}
    step = steps(master=MASTER, extra=extra)[0]
    with step.started_by() as command:
        path = Path(command[command.index("--properties-file") + 1])
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o077 == 0
        lines = path.read_text().splitlines()
        assert {"spark.executor.memory=4g", "spark.executor.cores=2", "spark.hadoop.fs.s3a.secret.key=canary"} <= set(lines)
        assert "--load-spark-defaults" in command and [*step.command[1:]] == [*command[4:]]
    assert not path.exists()
    assert "canary" not in " ".join(command) and "canary" not in repr(step)


def test_the_driver_keeps_its_python_where_executors_unpack_theirs():
    properties = steps(master=MASTER, extra={"spark.pyspark.python": "./env/bin/python"})[0].properties
    assert properties["spark.pyspark.python"] == "./env/bin/python"
    assert properties["spark.pyspark.driver.python"] == sys.executable


def test_a_secret_among_the_options_of_the_jvm_is_refused():
    with pytest.raises(ConfigError, match=r"spark\.driver\.extraJavaOptions looks like it holds a secret"):
        steps(master=MASTER, extra={"spark.driver.extraJavaOptions": "-Dstore.password=canary"})


SUBMIT = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
words = sys.argv[1:]
given = dict(zip(words[:-1], words[1:]))
seen = {{"words": words, "properties": Path(given["--properties-file"]).read_text()}}
Path({seen!r}).write_text(json.dumps(seen))
at = next(i for i, word in enumerate(words) if word.endswith(".py"))
sys.exit(subprocess.run([sys.executable, *words[at:]]).returncode)
"""


def test_a_run_starts_the_spark_submit_beside_its_python_with_the_file(tmp_path, monkeypatch):
    """The runner itself, with a spark-submit that runs the program as the real one does and notes what it was given."""
    code = tmp_path / "code"
    stage = replace(write_stage(code, "first"), engine="spark")
    submit = tmp_path / "bin" / "spark-submit"
    submit.parent.mkdir()
    submit.write_text(SUBMIT.format(python=sys.executable, seen=str(tmp_path / "seen.json")))
    submit.chmod(0o755)
    monkeypatch.setattr("nightrank.pipeline.run.steps.shutil.which", lambda name, path=None: str(submit))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(code))
    lake = landed_lake(tmp_path / "lake")
    spark = {"master": MASTER, "extra": {"spark.executor.memory": "4g", "spark.a.password": "canary"}}
    result = Runner((stage,), LineProgress(), finish=()).run(request_for(lake, spark=spark))
    assert (result["status"], trace(lake)) == ("done", ["first"])
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert "spark.executor.memory=4g" in seen["properties"] and "spark.a.password=canary" in seen["properties"]
    assert "canary" not in " ".join(seen["words"])
    found = subprocess.run(["grep", "-rl", "canary", str(lake.root)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
