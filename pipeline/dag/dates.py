"""Which date a DAG run is for. Given from outside, never the clock's and never `latest`. Stdlib only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any


@dataclass(frozen=True)
class RunDate:
    """A date and where it was found."""

    day: date
    source: str


def date_of(context: Mapping[str, Any]) -> RunDate:
    """The date of the run in an Airflow context, the same for each of its tasks.

    From the parameter `date`, else the partition key, else the newest `date` of the asset events that started the run, else
    the logical date, else the last day that had ended before `run_after` (a run by hand has no logical date). Days are those
    of the DAG's time zone. ValueError where a date that was given is none.
    """
    zone = context["dag"].timezone
    if given := context["params"].get("date"):
        return RunDate(_day(given, "parameter date"), "parameter date")
    if key := context.get("partition_key"):
        return RunDate(_day(key, "partition key"), "partition key")
    if days := list(_of_events(context.get("triggering_asset_events") or {})):
        return RunDate(max(days), "asset event")
    if logical := context.get("logical_date"):
        return RunDate(_local(logical, zone), "logical date")
    return RunDate(_local(context["dag_run"].run_after, zone) - timedelta(days=1), "the day before run_after")


def _of_events(events: Mapping[Any, Iterable[Any]]) -> Iterable[date]:
    for of_asset in events.values():
        for event in of_asset:
            if given := (event.extra or {}).get("date") or getattr(event, "partition_key", None):
                yield _day(given, "date of an asset event")


def _local(moment: datetime, zone: tzinfo) -> date:
    return moment.astimezone(zone).date()


def _day(text: str, source: str) -> date:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        raise ValueError(f"{source} {text!r} does not begin with a date; write it as YYYY-MM-DD") from None
