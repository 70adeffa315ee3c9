"""What importing a room costs: a command must answer before an engine would have loaded. Each in a process of its own."""

import json
import resource
import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT, modules, name_of

ENGINES = ("pyspark", "delta", "torch", "mlflow", "horovod", "petastorm", "pandas", "transformers", "optuna")
PROGRAM = (
    "import importlib, json, sys; [importlib.import_module(n) for n in sys.argv[1:]]; print(json.dumps(sorted(sys.modules)))"
)
CPU_SECONDS = 2.0
# Processor time, not the clock's: a busy machine must not fail it.


def loaded(*names):
    """Top-level packages in sys.modules after importing `names` in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "name",
    [
        "nightrank.pipeline.cli",
        "nightrank.pipeline.stages",
        "nightrank.pipeline.doctor",
        "nightrank.pipeline.report.stage",
        "nightrank.pipeline.runner",
    ],
)
def test_a_command_loads_no_engine_and_answers_soon(name):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert loaded(name) & set(ENGINES) == set()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < CPU_SECONDS


def test_the_ranker_loads_no_other_engine():
    names = [name_of(path) for path in modules("ranker")]
    assert loaded(*names) & {"pyspark", "delta", "horovod", "petastorm", "mlflow"} == set()


def test_spark_drivers_load_no_torch():
    drivers = [name_of(p) for p in modules("spark_jobs", "feature_store") if "executor" not in p.parts]
    assert loaded(*drivers) & {"torch", "horovod", "petastorm", "mlflow", "transformers"} == set()


def test_training_workers_load_no_spark():
    """Petastorm and horovod.spark bring pyspark's Python in, a pyfunc_model is MLflow's to import; all others stay light."""
    others = (
        "nightrank.trainer.launch.spark",
        "nightrank.trainer.data.petastorm_reader",
        "nightrank.trainer.tracking.pyfunc_model",
        "nightrank.trainer.ctr.pyfunc_model",
    )
    names = [name_of(p) for p in modules("trainer") if name_of(p) not in others]
    assert loaded(*names) & {"pyspark", "delta", "mlflow"} == set()


def test_the_arrow_reader_needs_no_petastorm():
    assert (
        loaded("nightrank.trainer.loop.source", "nightrank.trainer.data.native_reader") & {"petastorm", "pyspark", "pandas"}
        == set()
    )


def test_the_contracts_load_no_engine():
    assert loaded(*[name_of(p) for p in modules("feature_store/contracts")]) & {*ENGINES, "deltalake"} == set()
