"""`replay`: nights in order, and the curve of what each model knew of the next day."""

from datetime import date
from typing import Annotated, Any, Literal

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location, locate
from nightrank.pipeline.commands import requests
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, DryRun, Json, Root, Set, day

References = Literal["none", "static", "full"]


def replay(
    from_: Annotated[str, typer.Option("--from", help="First day, as YYYY-MM-DD.")],
    to: Annotated[str, typer.Option("--to", help="Last day, as YYYY-MM-DD.")],
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    references: Annotated[
        str,
        typer.Option(
            "--references",
            help="What the curve has beside the nights: none, static (no update) or full (that and full trainings).",
        ),
    ] = "static",
    beside: Annotated[
        str | None, typer.Option("--beside", help="Lake of the full trainings; by default ROOT-full-retrain.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Run the night of each date, in order, and draw how well each model knew the next day.

    A failure stops it, and the same command goes on from there. Empty days, rejected challengers and days that are held back do
    not stop it. `--references full` also trains a model in full for every date, in another lake with its own registry.

    Exit code: that of the failure; else 7 if a challenger was rejected or a day held back, 3 if nothing landed on any day,
    0 otherwise.

    Examples:

      nightrank replay --root lake --from 2024-01-15 --to 2024-01-18

      nightrank replay --root lake --from 2024-01-15 --to 2024-01-18 --references full
    """
    days, drawn = requests.days_between(day(from_, "--from"), day(to, "--to")), _checked(references)
    if dry_run:
        _plan(days, root, config, overrides, as_json)
        return
    results = _nights(days, root, config, overrides, as_json)
    failed = results[-1] if results[-1]["status"] == "failed" else None
    if failed is None and drawn == "full":
        failed = _full_trainings(days, root, config, overrides, beside, as_json)
    page = _draw(days, root, drawn, beside, as_json)
    code = replay_code([(result["status"], result["exit_code"]) for result in [*results, *filter(None, [failed])]])
    if as_json:
        from nightrank.pipeline.output import print_json

        error = failed["error"] if failed else None
        print_json({"status": (failed or results[-1])["status"], "exit_code": code, "error": error, "runs": results, **page})
    raise typer.Exit(code)


def _checked(references: str) -> References:
    from nightrank.feature_store.contracts.errors import UsageError

    for known in ("none", "static", "full"):
        if references == known:
            return known
    raise UsageError(f"--references {references!r} is not known", "write none, static or full")


def _plan(days: list[date], root: Location, config: list[str] | None, overrides: list[str] | None, as_json: bool) -> None:
    from nightrank.pipeline.output import out, print_json

    plans = [requests.plan_of(requests.request_for("nightly", root, each, config, overrides, False)) for each in days]
    if as_json:
        print_json({"runs": plans})
    for plan in [] if as_json else plans:
        out(f"{plan['run_id']}: {plan['status']}")


def _nights(
    days: list[date], root: Location, config: list[str] | None, overrides: list[str] | None, as_json: bool
) -> list[dict[str, Any]]:
    """Results in order, the last one failed where one did."""
    results: list[dict[str, Any]] = []
    for each in days:
        results.append(_run(root, "nightly", each, config, overrides, as_json))
        if results[-1]["status"] == "failed":
            break
    return results


def _run(
    root: Location, kind: str, when: date, config: list[str] | None, overrides: list[str] | None, as_json: bool
) -> dict[str, Any]:
    from nightrank.pipeline.output import print_run

    result: dict[str, Any] = requests.runner().run(requests.request_for(kind, root, when, config, overrides, False))
    if not as_json:
        print_run(result, False, root)
    return result


def _full_trainings(
    days: list[date],
    root: Location,
    config: list[str] | None,
    overrides: list[str] | None,
    folder: str | None,
    as_json: bool,
) -> dict[str, Any] | None:
    """The result of the first run that failed in the lake beside."""
    from nightrank.pipeline.replay.full_lake import OVERRIDES, FullLake

    given = [*(overrides or []), *OVERRIDES]
    there = FullLake(
        Lake(root), _beside(root, folder), lambda place, kind, when: _run(place, kind, when, config, given, as_json)
    )
    return next((failed for failed in map(there.night, days) if failed is not None), None)


def _draw(days: list[date], root: Location, drawn: References, folder: str | None, as_json: bool) -> dict[str, Any]:
    """What was drawn, and where it is."""
    from nightrank.pipeline.output import out
    from nightrank.pipeline.replay import page
    from nightrank.pipeline.replay.curve import curve
    from nightrank.pipeline.replay.full_lake import measured

    full = measured(Lake(root), _beside(root, folder), days) if drawn == "full" else {}
    found = curve(Lake(root), days, () if drawn == "none" else ("static", "full"), full)
    html, numbers = page.write(Lake(root), found)
    if not as_json:
        means = ", ".join(f"{name} {value:.4f}" for name, value in found.means.items())
        out(f"prequential NDCG@10 over {found.nights_of_means} nights: {means or 'nothing was measured'}")
        out(f"  curve: {html}\n  numbers: {numbers}")
    return {"prequential": found.model_dump(mode="json"), "curve": str(html), "numbers": str(numbers)}


def _beside(root: Location, folder: str | None) -> Location:
    from nightrank.pipeline.replay.full_lake import beside

    return beside(root) if folder is None else locate(folder)


def replay_code(outcomes: list[tuple[str, int]]) -> int:
    """Exit code of several nights."""
    failed = [code for status, code in outcomes if status == "failed"]
    if failed:
        return failed[0]
    if any(status in ("gate_rejected", "held") for status, _ in outcomes):
        return 7
    return 3 if all(status == "nothing" for status, _ in outcomes) else 0
