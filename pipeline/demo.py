"""`nightrank demo`: a market, its full run, one night, and somebody's list. What is done already is not done again."""

from datetime import date, timedelta
from typing import Any, Final

import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import NightrankError, UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import SCHEMAS, landing_files
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.object_storage import arrow
from nightrank.pipeline.config import configured
from nightrank.pipeline.progress import choose
from nightrank.pipeline.recommend import recommendations
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.simulate.market import simulate

SIZES: Final = ("demo", "tiny")


def run_demo(root: Location, size: str, overrides: list[str]) -> dict[str, Any]:
    """The demo's runs and one user's list; `exit_code` is the first that is not 0, a rejected challenger aside."""
    if size not in SIZES:
        raise UsageError(f"--size {size!r} is not known", f"use one of {', '.join(SIZES)}")
    lake, config = Lake(root), configured([size], overrides)
    _market(lake, size)
    last = lake.landing_days("events")[-1]
    runner = Runner(progress=choose())
    results = []
    for kind, when in (("full", last - timedelta(days=1)), ("nightly", last)):
        results.append(runner.run(RunRequest(root, kind, when, config)))
        if results[-1]["status"] == "failed":
            break
    answer: dict[str, Any] = {"root": str(root), "size": size, "runs": [_short(root, result) for result in results]}
    answer["status"] = results[-1]["status"]
    answer["exit_code"] = next((r["exit_code"] for r in results if r["status"] == "failed"), 0)
    answer["recommendations"] = recommendations(lake, _somebody(lake, last), [], []) if not answer["exit_code"] else None
    return answer


def show(answer: dict[str, Any]) -> None:
    """The same for a person."""
    from nightrank.pipeline.output import out, table

    for run in answer["runs"]:
        out(f"{run['run_id']}: {run['status']}" + (f" ({run['error']['message']})" if run["error"] else ""))
    if all(run["status"] == "already_done" for run in answer["runs"]):
        out("This demo had been run before; nothing was done again. Delete its folder to start afresh.")
    shown = answer["recommendations"]
    if shown:
        rows = [(row["rank"], row["item_id"], row["title"], f"{row['score']:.3f}") for row in shown["items"]]
        table(f"Recommendations of {shown['date']} for user {shown['user']}", ("rank", "item", "title", "score"), rows)
    for run in answer["runs"]:
        if run["report"]:
            out(f"Report of {run['run_id']}: {run['report']}")
    for run in answer["runs"]:
        if run["quality"]:
            out(f"Quality of {run['run_id']}: {run['quality']}")
    if shown:
        out(f"Another user's list: nightrank recommend --root {answer['root']} --user ID")


def _market(lake: Lake, size: str) -> None:
    """A complete market is under landing/. An interrupted one, or one of another size, does not count."""
    mark = lake.root / "demo.json"
    if mark.exists():
        made = read_json(mark)["size"]
        if made != size:
            raise UsageError(f"{lake.root} holds the demo of size {made}", f"use another --root, or --size {made}")
        return
    if (lake.root / "tables").exists():
        raise UsageError(f"{lake.root} holds a lake that is not a demo", "use another --root for the demo")
    simulate(lake.root, preset=size)
    write_json(mark, {"size": size})


def _somebody(lake: Lake, day: date) -> str:
    """A user of the last day: the one with the most events, so that the list has something to go by."""
    events = arrow.dataset(landing_files(lake, "events", [day]), SCHEMAS["events"])
    users = events.to_table(columns=[c.USER_ID])[c.USER_ID]
    counted = sorted(pc.value_counts(pc.drop_null(users)).to_pylist(), key=lambda row: (-row["counts"], row["values"]))
    if not counted:
        raise NightrankError(f"no events landed on {day}", "delete the demo's folder and run it again")
    return str(counted[0]["values"])


def _short(root: Location, result: dict[str, Any]) -> dict[str, Any]:
    """What the demo answers of a run; `quality` is a sentence, empty where nothing was measured."""
    from nightrank.pipeline.output import quality

    report = result["report"]
    fields = ("run_id", "status", "exit_code", "error", "gate", "release")
    shown = {"report": str(root / report) if report else None, "quality": quality(result.get("metrics") or [])}
    return {**{name: result[name] for name in fields}, **shown}
