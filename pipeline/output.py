"""How a command answers: one JSON object on stdout, or words for a person. Everything a command prints goes through here."""

import json
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.storage import locate


def out(text: str = "", end: str = "\n") -> None:
    """To stdout: the answer."""
    print(text, end=end)


def err(text: str, stream: TextIO | None = None) -> None:
    """To stderr, at once: what is said while a command works, and what went wrong."""
    print(text, file=stream or sys.stderr, flush=True)


def print_json(value: Any) -> None:
    out(json.dumps(value, indent=2, ensure_ascii=False, default=str))


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
    err(f"nightrank: {error.message}")
    if error.remedy:
        err(f"  what to do: {error.remedy}")


def print_run(result: dict[str, Any], as_json: bool, root: Any = None) -> None:
    """A run's result: whole with `--json`, else its status, what is wrong and where to look. Last come the model's quality
    and the way to the lists."""
    if as_json:
        print_json(result)
        return
    seconds = sum(stage["seconds"] or 0 for stage in result["stages"])
    took = "" if result["status"] == "already_done" else f"  ({seconds:.0f} s)"
    out(f"{result['run_id']}: {result['status']}{took}")
    if result.get("note"):
        out(f"  {result['note']}")
    if result["error"]:
        out(f"  {result['error']['message']}\n  what to do: {result['error']['remedy']}")
    if result["gate"]:
        reasons = [*result["gate"]["reasons"], *filter(None, [result["gate"].get("new_items")])]
        out(f"  gate: {result['gate']['decision']} ({'; '.join(reasons)})")
    for line in _remarks(result):
        out(f"  {line}")
    if result["report"] and root:
        out(f"  report: {locate(root) / result['report']}")
    if figures := quality(result.get("metrics") or []):
        out(f"  quality: {figures}")
    if result["release"]:
        out(f"  lists: {result['release']['users']:,} users, {result['release']['rows']:,} rows{_maker(result['release'])}")
        if root:
            out(f"  one user's list: nightrank recommend --root {root} --user ID")


def _remarks(result: dict[str, Any]) -> list[str]:
    found = []
    if current := result.get("back_fill_of"):
        found.append(f"a back-fill: its data was read; the model and lists of {current} stay current")
    if because := result.get("because"):
        found.append(f"the full training in place of the night: {because}")
    if users := result.get("trained_on_erased"):
        found.append(f"the live model has learnt from {users:,} erased users; run `nightrank full` to leave them out")
    return found


def _maker(release: dict[str, Any]) -> str:
    model = release.get("model")
    return f", made by {model['name']} version {model['version']}" if model else ""


def quality(metrics: list[dict[str, Any]]) -> str:
    """NDCG@10 of the run's model beside the best baseline on the same rows; empty where nothing was measured."""
    from nightrank.pipeline.report import wording
    from nightrank.pipeline.report.quality import best_baseline

    pair = best_baseline(metrics)
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
        out(plan["note"])
