"""When `nightrank nightly` runs the full training in place of a night: by schedule, or because the retention report asks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.found import last_full
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import any_rows
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.run.request import RunRequest, finished, newer_than, read_result
from nightrank.trainer.config.retention import RetentionConfig


@dataclass(frozen=True)
class Night:
    """A finished night since the last full run."""

    day: date
    result: dict[str, Any]


def as_due(request: RunRequest) -> RunRequest:
    """The request, or that for the full training of its date with the reason. Reads only.

    A date keeps the kind that it was begun with. A back-fill and a date without events stay what they are.
    """
    lake = request.lake
    if request.kind != "nightly" or lake.run_dir(f"nightly-{request.day}").exists():
        return request
    begun = lake.run_dir(f"full-{request.day}") / "run.json"
    before = read_json(begun).get("because", "") if begun.exists() else ""
    if before:
        return replace(request, kind="full", because=before)
    if begun.exists() or lake.champion() is None or newer_than(request) or not any_rows(lake, "events", request.day):
        return request
    because = reason(lake, request.day, request.config.section("retention", RetentionConfig))
    return replace(request, kind="full", because=because) if because else request


def reason(lake: Lake, day: date, config: RetentionConfig) -> str:
    """Why the full training of the day is due; empty where it is not."""
    full = last_full(lake, "", day)
    if full is None:
        return ""
    nights = sorted(_nights(lake, date.fromisoformat(full.date), day), key=lambda night: night.day)
    if config.full_every is not None and len(nights) + 1 >= config.full_every:
        return (
            f"a full pass is due: night {len(nights) + 1} since the full run of {full.date}, and retention.full_every is "
            f"{config.full_every}"
        )
    report = (nights[-1].result.get("retention") or {}) if nights else {}
    if config.full_on_drop and report.get("asks_for_full"):
        return f"the retention report of {nights[-1].day} asks for a full pass: {report['note']}"
    return ""


def _nights(lake: Lake, since: date, day: date) -> Iterator[Night]:
    """Of a repeated date the newest attempt counts."""
    found: dict[date, Location] = {}
    for folder in sorted((lake.root / "runs").glob("nightly-*"), key=_attempt):
        if finished(folder) and since < (when := date.fromisoformat(str(read_json(folder / "run.json")["date"]))) < day:
            found[when] = folder
    for when, folder in found.items():
        result = read_result(folder) or {}
        if "back_fill_of" not in result:
            yield Night(when, result)


def _attempt(folder: Location) -> tuple[str, int]:
    """(date, number of the attempt) of `nightly-2024-01-02-r10`."""
    name, _, number = folder.name.removeprefix("nightly-").partition("-r")
    return name, int(number or 1)
