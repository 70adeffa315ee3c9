"""A lake's last run as a text file for Prometheus' node exporter: durations, counts, gate, quality, freshness."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.report.quality import best_baseline

EVENTS: Final = ("landed", "events", "duplicates", "late", "new_users", "new_items")


def write_metrics(path: Path, lake: Lake, result: dict[str, Any]) -> None:
    """The file is replaced whole. What this run has not measured is absent; how fresh the lists are is always there."""
    registry = CollectorRegistry()
    _run(registry, result)
    _counts(registry, result["counts"])
    _quality(registry, result)
    _freshness(registry, lake)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)


def _run(registry: CollectorRegistry, result: dict[str, Any]) -> None:
    facts = ["run_id", "kind", "status"]
    _gauge(registry, "run_info", "The last run that ended.", facts).labels(*(result[fact] for fact in facts)).set(1)
    _gauge(registry, "run_exit_code", "Exit code of the last run (docs/reference/cli.md).").set(result["exit_code"])
    _gauge(registry, "run_end_timestamp_seconds", "When the last run ended.").set(datetime.now(UTC).timestamp())
    _gauge(registry, "run_date_timestamp_seconds", "The date of the last run's data.").set(_start_of(result["date"]))
    seconds = _gauge(registry, "stage_seconds", "Wall time of each stage of the last run.", ["stage"])
    rows = _gauge(registry, "stage_rows", "Rows that each stage of the last run wrote.", ["stage"])
    for stage in result["stages"]:
        if stage["status"] == "done":
            seconds.labels(stage["name"]).set(stage["seconds"])
            rows.labels(stage["name"]).set(stage["rows_out"])


def _counts(registry: CollectorRegistry, counts: dict[str, Any]) -> None:
    rows = _gauge(registry, "rows", "What the last run read and found new.", ["what"])
    for name in EVENTS:
        rows.labels(name).set(counts[name])
    for name, text in (
        ("quarantined", "Rows in quarantine by reason."),
        ("left_out", "Events left out of training by reason."),
    ):
        gauge = _gauge(registry, f"{name}_rows", text, ["reason"])
        for reason, number in counts[name].items():
            gauge.labels(reason).set(number)


def _quality(registry: CollectorRegistry, result: dict[str, Any]) -> None:
    if result["gate"]:
        decision = _gauge(registry, "gate_decision", "What the gate decided in the last run.", ["decision"])
        decision.labels(result["gate"]["decision"]).set(1)
    pair = best_baseline(result["metrics"])
    if pair is not None:
        ndcg = _gauge(registry, "ndcg_at_10", "NDCG@10 of the last run's model and of the best baseline.", ["recommender"])
        for one in pair:
            ndcg.labels(one["recommender"]).set(one["value"])


def _freshness(registry: CollectorRegistry, lake: Lake) -> None:
    """Of what is live now, whichever run made it."""
    from nightrank.feature_store import delta_read

    release, champion = delta_read.latest_release(lake), lake.champion()
    if release is not None:
        _gauge(registry, "lists_date_timestamp_seconds", "The date of the current lists.").set(_start_of(release.date))
        _gauge(registry, "lists_users", "Users with a current list.").set(release.users)
    if champion is not None:
        _gauge(registry, "model_date_timestamp_seconds", "The date of the current model.").set(_start_of(champion.date))
        _gauge(registry, "model_version", "Version of the current model in the registry.").set(champion.version)


def _gauge(registry: CollectorRegistry, name: str, text: str, labels: list[str] | None = None) -> Gauge:
    return Gauge(f"nightrank_{name}", text, labels or [], registry=registry)


def _start_of(day: str) -> float:
    """Seconds since 1970 of the day's start in UTC."""
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp()
