"""`nightrank doctor`: what is missing or risky here, each finding with its remedy. Imports no engine, changes nothing."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.doctor.ambient import check_clock, check_telemetry
from nightrank.pipeline.doctor.caches import check_caches
from nightrank.pipeline.doctor.cluster import check_cluster
from nightrank.pipeline.doctor.finding import Finding, worst
from nightrank.pipeline.doctor.horovod import check_horovod, check_own_name
from nightrank.pipeline.doctor.java import check_java
from nightrank.pipeline.doctor.machine import Machine, this_machine
from nightrank.pipeline.doctor.places import check_places
from nightrank.pipeline.doctor.python_env import check_compiled, check_interpreters, check_packages, check_pyarrow
from nightrank.pipeline.doctor.spark import check_data_loss, check_trio
from nightrank.pipeline.doctor.tracking import check_mlflow
from nightrank.pipeline.output import out, print_json

__all__ = ["Finding", "Machine", "main", "run_checks"]

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def run_checks(
    root: Location | None, settings: DataSettings | None = None, machine: Machine | None = None, *, cluster: bool = False
) -> list[Finding]:
    """Every finding, in reading order. The slow ones (a JVM, torch) run in parallel; it takes seconds in all.

    `cluster`: the executors of the configured master are asked too, by an application of their own.
    """
    here = machine or this_machine()
    configured = settings or DataSettings()
    checks: list[Callable[[], list[Finding]]] = [
        lambda: check_java(here),
        lambda: check_trio(here, configured),
        lambda: check_interpreters(here, configured),
        check_packages,
        check_pyarrow,
        check_compiled,
        lambda: check_horovod(here),
        lambda: check_own_name(here),
        lambda: check_caches(here, configured),
        lambda: check_places(here, configured, root),
        lambda: check_clock(here, configured, root),
        lambda: check_telemetry(here),
        lambda: check_data_loss(here, configured),
        lambda: check_mlflow(configured),
        *([lambda: check_cluster(here, configured)] if cluster else []),
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:
        return [finding for found in pool.map(lambda check: check(), checks) for finding in found]


def main(root: Location | None, as_json: bool, settings: DataSettings | None = None, *, cluster: bool = False) -> int:
    """Print the findings (`as_json`: one object on stdout; else a table for people). 1 if anything fails, else 0."""
    findings = run_checks(root, settings, cluster=cluster)
    status = worst(findings)
    if as_json:
        print_json({"status": status, "findings": [finding.to_json() for finding in findings]})
    else:
        _print_table(findings)
    return 1 if status == "fail" else 0


def _print_table(findings: list[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        out(f"{MARKS[finding.status]}  {finding.name.replace('_', ' '):<{width}}  {finding.seen}")
        if finding.remedy and finding.status != "ok":
            out(f"{'':<{width + 6}}  remedy: {finding.remedy}")
    found = Counter(finding.status for finding in findings)
    out(f"{len(findings)} checks: {found['ok']} ok, {found['warn']} to look at, {found['fail']} to fix")
