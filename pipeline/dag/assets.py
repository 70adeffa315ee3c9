"""What a run leaves for other DAGs: an asset for each Delta table, for the model and for the released lists."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from airflow.sdk import Asset, AssetAlias

from nightrank.pipeline.dag.dates import RunDate
from nightrank.pipeline.dag.tables import TABLES_OF

LANDED: Final = Asset("nightrank.landed")
"""Comes in: whoever writes a day's landing files says so with `{"date": "YYYY-MM-DD"}`, and a DAG may be scheduled on it."""
LISTS: Final = Asset("nightrank.lists")
"""Goes out of `release`: the lists are live. Schedule on this, not on the DAG's success: a rejected challenger fails that."""
MODEL: Final = Asset("nightrank.model")
"""Goes out of `register`: a new version in the registry."""
HELD: Final = Asset("nightrank.held")
"""Goes out of `close`, only where `check_day` held the day back: whoever looks at broken days schedules on it."""
HELD_BY_CLOSE: Final = AssetAlias("nightrank.held_by_close")
"""Of an alias a task decides whether there is an event; of an asset every success is one."""


def table(name: str) -> Asset:
    return Asset(f"nightrank.table.{name}")


def outlets_of(stages: Iterable[str]) -> list[Asset]:
    """What a task of these stages leaves."""
    others = {"register": MODEL, "release": LISTS}
    found: list[Asset] = []
    for name in stages:
        found += [table(one) for one in TABLES_OF.get(name, ())]
        found += [others[name]] if name in others else []
    return found


def describe(events: Any, outlets: Iterable[Asset], when: RunDate, result: Mapping[str, Any]) -> None:
    """Each outlet's event gets date and run, and what is known of it: Delta version, model version, rows, the gate's word."""
    entries = {entry["name"]: entry for stage in result.get("stages") or () for entry in stage.get("tables") or ()}
    run = {"date": when.day.isoformat(), "run_id": result.get("run_id"), "status": result.get("status")}
    for outlet in outlets:
        name = outlet.name.removeprefix("nightrank.table.")
        if outlet.name == LISTS.name:
            more = _lists(result)
        elif outlet.name == MODEL.name:
            more = {**_model(result.get("model") or {}), "changed": bool(result.get("model"))}
        else:
            entry = entries.get(name)
            more = {"delta_version": entry["to"], "changed": entry["from"] != entry["to"]} if entry else {"changed": False}
        events[outlet].extra.update({**run, **more})


def describe_held(events: Any, when: RunDate, result: Mapping[str, Any]) -> None:
    """An event of `nightrank.held`, with what was found and what to do, if the run ended so; none otherwise."""
    if result.get("status") == "held":
        extra = {"date": when.day.isoformat(), "run_id": result.get("run_id"), **held_of(result)}
        events[HELD_BY_CLOSE].add(HELD, extra=extra)


def held_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Why the day was held back and what to do; {} where it was not."""
    error = result.get("error") or {}
    return {key: error.get(key) for key in ("message", "remedy")} if error.get("code") == "held" else {}


def _lists(result: Mapping[str, Any]) -> dict[str, Any]:
    release = result.get("release") or {}
    known = {key: release.get(key) for key in ("recommendations_version", "users", "rows")}
    return {**known, "model": _model(release.get("model") or {}), "gate": (result.get("gate") or {}).get("decision")}


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: model.get(key) for key in ("name", "version", "manifest_sha256")}
