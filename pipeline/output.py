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
    grid = Table(title=title, title_justify="left", show_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column)
    for row in rows:
        grid.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    Console().print(grid)


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
        print(f"  gate: {result['gate']['decision']}")
    if result["release"]:
        print(f"  lists: {result['release']['users']:,} users, {result['release']['rows']:,} rows")
    if result["report"] and root:
        print(f"  report: {root}/{result['report']}" if not str(result["report"]).startswith("/") else result["report"])


def print_plan(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    table(
        f"{plan['run_id']}: {plan['status']}, {len(plan['processes'])} processes",
        ("stage", "what"),
        [(stage["name"], stage["status"].replace("_", " ")) for stage in plan["stages"]],
    )
