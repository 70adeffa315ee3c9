"""What `spark-submit --py-files` may hold."""

from nightrank.feature_store.contracts.errors import UsageError

SETTING = "spark.submit.pyFiles"


def check_py_files(listed: str) -> None:
    """UsageError for a wheel: PySpark passes it on and puts .zip, .egg and .jar alone on the executors' path.

    A run would pass its first jobs and fail where executors import nightrank.
    """
    wheels = [name.rsplit("/", 1)[-1] for name in listed.split(",") if name.strip().endswith(".whl")]
    if wheels:
        pair = "-".join(wheels[0].split("-")[:2])
        raise UsageError(
            f"--py-files holds the wheel {wheels[0]}, which executors cannot import: PySpark takes .zip, .egg and .jar",
            f"give the zip that `make package` writes beside the wheel: --py-files {pair}.zip",
        )
