"""How a command answers: one JSON object on stdout, or words for a person."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nightrank.feature_store.contracts.errors import NightrankError


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    grid = Table(show_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column)
    for row in rows:
        grid.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    console.print(Text(title, style="italic"), soft_wrap=True)
    console.print(grid)


def print_fault(error: NightrankError, as_json: bool) -> None:
    """Message and remedy to stderr; with `--json` the error object is the answer."""
    if as_json:
        print_json({"status": "failed", "exit_code": error.exit_code, "error": error.to_json()})
    print(f"nightrank: {error.message}", file=sys.stderr)
    if error.remedy:
        print(f"  way out: {error.remedy}", file=sys.stderr)


def print_run(result: dict[str, Any], as_json: bool, root: Any = None) -> None:
    """A run's result: whole with `--json`, else its status, what is wrong and where to look."""
    if as_json:
        print_json(result)
        return
    seconds = sum(stage["seconds"] or 0 for stage in result["stages"])
    took = "" if result["status"] == "already_done" else f"  ({seconds:.0f} s)"
    print(f"{result['run_id']}: {result['status']}{took}")
    if result.get("note"):
        print(f"  {result['note']}")
    if result["error"]:
        print(f"  {result['error']['message']}\n  way out: {result['error']['remedy']}")
    if result["gate"]:
        print(f"  gate: {result['gate']['decision']} ({'; '.join(result['gate']['reasons'])})")
    if current := result.get("back_fill_of"):
        print(f"  a back-fill: its data is taken in, and the model and lists of {current} stay current")
    if quality := _quality(result):
        print(f"  {quality}")
    if result["release"]:
        print(f"  lists: {result['release']['users']:,} users, {result['release']['rows']:,} rows{_maker(result['release'])}")
        if root:
            print(f"  one user's list: nightrank recommend --root {root} --user ID")
    if result["report"] and root:
        print(f"  report: {root}/{result['report']}" if not str(result["report"]).startswith("/") else result["report"])


def _maker(release: dict[str, Any]) -> str:
    model = release.get("model")
    return f", made by {model['name']} version {model['version']}" if model else ""


def _quality(result: dict[str, Any]) -> str:
    """NDCG@10 of the run's model beside the best baseline on the same rows; empty where nothing was measured."""
    from nightrank.pipeline.report import wording
    from nightrank.pipeline.report.quality import best_baseline

    pair = best_baseline(result.get("metrics") or [])
    if pair is None:
        return ""
    ours, peer = pair
    few = f", {ours['note']}" if ours.get("note") else ""
    best = f"best baseline {wording.figure(peer['value'])} ({wording.recommender(peer['recommender'])})"
    return f"NDCG@10 {wording.figure(ours['value'])}, {best}; {ours['split']}, n = {ours['n']:,}{few}"


def print_plan(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    table(
        f"{plan['run_id']}: {plan['status']}, {len(plan['processes'])} processes",
        ("stage", "what"),
        [(stage["name"], stage["status"].replace("_", " ")) for stage in plan["stages"]],
    )
    if plan.get("note"):
        print(plan["note"])
