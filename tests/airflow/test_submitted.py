"""Groups of Spark stages by SparkSubmitOperator: exit codes come from the stages' records, and what is done is not submitted.

`spark-submit` is a program that runs the fake stages and ends with 1 whatever went wrong, as Spark does on a cluster.
"""

from tests.airflow.conftest import MAIN_PYTHON, ROOT, Shop
from tests.airflow.test_scheduler import FEW, STAGES, TASK

CLUSTER = "from nightrank.pipeline.dag.nights import OnCluster\ncluster = OnCluster(conf={'spark.app.id': '{{ ds_nodash }}'})\n"
SUBMIT = f"""#!/bin/sh
echo "submitted: $@"
while [ "$1" != --run-dir ]; do shift; done
for stage in $(echo "$4" | tr , ' '); do
  {MAIN_PYTHON} -m fake_$stage --run-dir "$2" || exit 1
done
"""
ONCE = (
    "if not (context.root / 'up').exists():\n"
    "        (context.root / 'up').path.touch()\n"
    "        raise errors.DependencyUnreachable('no hub', 'later')"
)


def submitting(shop: Shop) -> Shop:
    """The shop's Spark stages go to its own spark-submit, which stands beside its Python."""
    shop.only(STAGES)
    program = shop.fakes / "spark-submit"
    program.write_text(SUBMIT)
    program.chmod(0o755)
    shop.airflow.write_dag(f"cluster=cluster, env={{'PYTHONPATH': '{shop.fakes}:{ROOT}'}}, {FEW}", before=CLUSTER)
    shop.airflow.variables["AIRFLOW_CONN_SPARK_DEFAULT"] = "spark://local"
    return shop


def test_codes_are_read_from_the_records_and_a_night_that_is_done_submits_nothing(shop: Shop) -> None:
    submitting(shop)
    shop.stage("ingest_events", ONCE)
    shop.stage("build_features", "raise errors.DataContractError('broken', 'fix it')")
    failed = shop.airflow.test_run(shop.days[0], full=True)
    assert (failed["state"], failed["tasks"][TASK], failed["tries"][TASK]) == ("failed", "failed", 2)
    assert "exit code 8: no hub; later" in failed["log"] and "exit code 4: broken; fix it" in failed["log"]
    assert "spark.app.id=20240101" in failed["log"], "conf is a template"
    assert [line.split()[0] for line in shop.trace()] == ["check_day", "ingest_events", "ingest_events", "build_features"]

    shop.stage("build_features", "pass")
    whole = shop.airflow.test_run(shop.days[0], full=True)
    assert whole["state"] == "success" and shop.trace()[-1] == "build_features full-2024-01-01"
    assert whole["assets"]["nightrank.table.events"]["date"] == "2024-01-01"
    again = shop.airflow.test_run(shop.days[0], full=True)
    assert again["state"] == "success" and "submitted:" in whole["log"] and "submitted:" not in again["log"]
