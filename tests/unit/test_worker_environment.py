"""What of the environment reaches stages and training workers, and by which way: nothing secret by a command line."""

import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from nightrank.feature_store.contracts import logs
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.environment import for_stages, plain
from nightrank.feature_store.contracts.logs import RUN_DIR
from nightrank.feature_store.contracts.secret_settings import VARIABLE
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.pipeline.run.children import Child
from nightrank.trainer.launch import LAUNCHERS, environment_of_workers, launch
from nightrank.trainer.launch import environment as environments
from nightrank.trainer.launch.environment import FILE, handed_over, take_over
from tests.training_jobs import job_of, small_lake

CANARY = "canary-4711-value"
PLANTED = {
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "MLFLOW_TRACKING_PASSWORD": CANARY,
    "ANYTHING_AT_ALL": CANARY,
    "HF_TOKEN": CANARY,
    "NIGHTRANK_SECRETS": CANARY,
    "HTTPS_PROXY": f"http://me:{CANARY}@proxy:3128",
    "PYSPARK_SUBMIT_ARGS": f"--conf spark.x={CANARY} pyspark-shell",
}
USUAL = {
    "PATH": "/bin",
    "OMP_NUM_THREADS": "3",
    "NCCL_DEBUG": "WARN",
    "LC_ALL": "C",
    "NIGHTRANK_RUN_DIR": "/r",
    "NO_PROXY": "a",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root, users=20)


def test_the_usual_names_pass_and_secrets_do_not():
    assert plain({**USUAL, **PLANTED}) == USUAL


@pytest.mark.parametrize("launcher", ["horovodrun", "one_process"])
def test_workers_are_started_with_nothing_secret(lake, monkeypatch, launcher):
    for name, value in {**PLANTED, **USUAL}.items():
        monkeypatch.setenv(name, value)
    given = environment_of_workers(job_of(*lake, {"launcher": launcher, "workers": 2 if launcher == "horovodrun" else 1}))
    assert CANARY not in json.dumps(given)
    assert given["NCCL_DEBUG"] == "WARN"


def test_the_process_that_starts_spark_gets_spark_s_secrets_and_no_other(lake, monkeypatch):
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    given = environment_of_workers(job_of(*lake, {"launcher": "spark"}))
    assert {name for name, value in given.items() if CANARY in value} == {VARIABLE, "PYSPARK_SUBMIT_ARGS"}


def test_named_variables_go_by_a_file_of_this_user_that_is_gone_afterwards(lake, monkeypatch):
    job = job_of(*lake, {"environment": ["AWS_*", "ANYTHING_AT_ALL"]})
    with handed_over(job, PLANTED) as where:
        path = Path(where[FILE])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        monkeypatch.setattr(os, "environ", {**where, "PATH": "/bin"})
        take_over()
        assert os.environ == {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": CANARY, "ANYTHING_AT_ALL": CANARY}
    assert not path.exists() and not path.parent.exists()


def test_other_hosts_find_the_file_beside_the_heartbeats(lake):
    job = job_of(*lake, {"environment": ["AWS_*"], "hosts": "a:1,b:1"})
    job.ranks.mkdir()
    with handed_over(job, PLANTED) as where:
        assert Path(where[FILE]).parent == job.ranks.path
    assert job.ranks.children() == []


def test_without_names_no_file_is_written(lake, monkeypatch):
    monkeypatch.setattr(environments.tempfile, "TemporaryDirectory", lambda **_: pytest.fail("a folder was made"))
    with handed_over(job_of(*lake), PLANTED) as where:
        assert where == {}


def test_a_job_s_file_keeps_no_secret_of_spark(lake):
    spark = SparkSettings(extra={"spark.hadoop.fs.s3a.secret.key": CANARY})
    job = job_of(*lake).model_copy(update={"spark": spark})
    job.save()
    assert CANARY not in job.path.read_text()


def test_what_a_worker_prints_is_free_of_secrets_that_its_launcher_knows(lake, monkeypatch, capfd):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    logs._known.cache_clear()  # what an earlier test of this process knew
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.0.1")
    job = job_of(*lake, {"environment": ["AWS_*"]}, run_id="says")
    program = f"import os, json; print(json.load(open(os.environ['{FILE}'])))"
    monkeypatch.setitem(LAUNCHERS, "one_process", Says(program))
    launch(job)
    shown = capfd.readouterr().err
    assert "AWS_SECRET_ACCESS_KEY" in shown and "***" in shown and CANARY not in shown


class Says:
    def __init__(self, program: str) -> None:
        self.program = program

    def command(self, job: object) -> list[str]:
        return [sys.executable, "-c", self.program]


FOREIGN = {
    "GITHUB_TOKEN": CANARY,
    "AIRFLOW__CORE__FERNET_KEY": CANARY,
    "SOME_DATABASE": f"postgresql://me:{CANARY}@db/x",
    "VAULT_SECRET": CANARY,
}
CHAIN = {
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AZURE_STORAGE_KEY": CANARY,
    "GOOGLE_APPLICATION_CREDENTIALS": "/keys/google.json",
    "HADOOP_TOKEN_FILE_LOCATION": "/run/token",
    "MLFLOW_TRACKING_PASSWORD": CANARY,
    "HF_TOKEN": CANARY,
    "PGPASSWORD": CANARY,
    "HTTPS_PROXY": f"http://me:{CANARY}@proxy:3128",
    "SSH_AUTH_SOCK": "/run/agent",
}
HARMLESS = {**USUAL, "MY_LOG4J_FOLDER": "/logs", "KRB5CCNAME": "/tmp/krb5cc_1", "LD_LIBRARY_PATH": "/lib", "CONDA_PREFIX": "/c"}


def test_a_stage_gets_credential_chains_and_all_that_is_harmless_and_no_secret_of_another_program():
    whole = {**FOREIGN, **CHAIN, **HARMLESS}
    assert for_stages(whole) == {**CHAIN, **HARMLESS}
    assert for_stages(whole, ("VAULT_*", "GITHUB_TOKEN")) == {
        **CHAIN, **HARMLESS, "VAULT_SECRET": CANARY, "GITHUB_TOKEN": CANARY
    }  # fmt: skip


def test_a_stage_s_process_has_what_it_is_given_and_no_more(tmp_path, monkeypatch):
    for name, value in {**FOREIGN, **CHAIN}.items():
        monkeypatch.setenv(name, value)
    config = Configuration.from_run({"trainer": {"environment": ["VAULT_*"]}, "spark": {"extra": {"a.password": "of the run"}}})
    lines: list[str] = []
    program = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    child = Child(program, tmp_path, lines.append, fence=4, config=config)
    while child.wait(0.1) is None:
        continue
    found = json.loads("".join(lines))
    assert {name for name in {**FOREIGN, **CHAIN} if name in found} == {*CHAIN, "VAULT_SECRET"}
    assert (found[RUN_DIR], found["NIGHTRANK_FENCE"]) == (str(tmp_path), "4")
    assert json.loads(found[VARIABLE]) == [[["spark", "extra", "a.password"], "of the run"]]
    assert found["PATH"] == os.environ["PATH"]
