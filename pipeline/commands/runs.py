"""`full`, `nightly` and `stage`: what makes the lake move."""

from typing import Annotated

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands import accepting, requests
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, DryRun, Json, Root, Set, day


def full(
    root: Root = DEFAULT_ROOT,
    as_of: Annotated[str | None, typer.Option("--as-of", help="The last day to read; default: everything.")] = None,
    config: Config = None,
    overrides: Set = None,
    redo: Annotated[bool, typer.Option("--redo", help="Run a finished date again.")] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Train on the whole history and make a list for every user.

    Examples:

      nightrank full --root lake --config mine.yaml

      nightrank full --root lake --as-of 2024-01-14 --dry-run
    """
    until = day(as_of, "--as-of") if as_of else requests.last_day(root)
    requests.run_or_plan("full", root, until, config, overrides, redo, as_json, dry_run)


def nightly(
    date_: Annotated[str | None, typer.Option("--date", help="The day to take in, as YYYY-MM-DD.")] = None,
    accepted: Annotated[
        str | None, typer.Option("--accept", help="A day that was held back and is as it should be, as YYYY-MM-DD.")
    ] = None,
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    redo: Annotated[bool, typer.Option("--redo", help="Run a finished date again.")] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Read one day, fine-tune the champion on it, compare the two models, and make new lists.

    Exit code 7 if the new model was worse and the old one stays, or the day is broken and held back; 3 if nothing landed on it.
    --accept takes a held day in: by its own night, or where a newer date is current, by the next night.

    Examples:

      nightrank nightly --root lake --date 2024-01-15

      nightrank nightly --root lake --date 2024-01-15 --dry-run

      nightrank nightly --root lake --accept 2024-01-15
    """
    when = day(date_, "--date") if date_ is not None else None
    if accepted is not None:
        when = accepting.accepted_first(root, day(accepted, "--accept"), when, as_json, dry_run)
    elif when is None:
        raise UsageError("nightly needs --date", "give the day to take in, as YYYY-MM-DD")
    if when is not None:
        requests.run_or_plan("nightly", root, when, config, overrides, redo, as_json, dry_run)


def stage(
    name: Annotated[str, typer.Argument(help="Name of the stage; `nightrank full --dry-run` lists them.")],
    date_: Annotated[str, typer.Option("--date", help="The run's date, as YYYY-MM-DD.")],
    root: Root = DEFAULT_ROOT,
    kind: Annotated[str | None, typer.Option("--kind", help="full or nightly; needed only if that date has both.")] = None,
    config: Config = None,
    overrides: Set = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Run one stage of a run, even if it is done. Without --config and --set it uses the run's own configuration.

    Examples:

      nightrank stage report --root lake --date 2024-01-15

      nightrank stage train --root lake --date 2024-01-15 --kind full --dry-run
    """
    when = day(date_, "--date")
    chosen = requests.checked_kind(kind or requests.kind_of(Lake(root), when))
    request = requests.request_of_stage(chosen, root, when, config, overrides)
    if dry_run:
        requests.answer_plan(requests.plan_of(request, name), as_json)
    else:
        requests.answer(requests.runner().run_stage(request, name), as_json, root)
