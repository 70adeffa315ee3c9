"""`import` and `simulate`: where events come from."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.pipeline.commands.guesses import answer_guess
from nightrank.pipeline.commands.options import DEFAULT_ROOT, DryRun, Json, Root, Set, day


def import_(
    layout: Annotated[str | None, typer.Argument(help="movielens, sequences, impressions, events or items.")] = None,
    input_: Annotated[Path | None, typer.Option("--input", help="The file or folder to import. It is only read.")] = None,
    root: Root = DEFAULT_ROOT,
    titles: Annotated[Path | None, typer.Option("--titles", help="File with item titles; for sequences only.")] = None,
    mapping: Annotated[Path | None, typer.Option("--mapping", help="YAML file that says which column is which field.")] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="Time zone of the lake's days; default: the lake's, or UTC for a new lake.")
    ] = None,
    date_: Annotated[
        str | None, typer.Option("--date", help="The day that the catalogue describes; default: the newest event day.")
    ] = None,
    guess: Annotated[Path | None, typer.Option("--guess", help="Read this file and propose a mapping for it.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Turn a public layout or your own files into landing files, or propose the mapping of a file.

    The same import again changes nothing. --guess prints the mapping, or writes it to the new file --mapping.

    Examples:

      nightrank import --guess events.csv > columns.yaml

      nightrank import events --input events.csv --mapping columns.yaml --root lake

      nightrank import items --input prices.csv --mapping prices.yaml --root lake

      nightrank import movielens --input ml-latest-small --root lake
    """
    if guess is not None:
        if layout not in (None, "events") or input_ is not None:
            raise UsageError(
                "--guess proposes a mapping for `import events` and imports nothing", "leave out LAYOUT and --input"
            )
        return answer_guess(guess, mapping, as_json, dry_run)
    if layout is None or input_ is None:
        raise UsageError(
            "`nightrank import` needs LAYOUT and --input", "see `nightrank import --help`, or start with --guess FILE"
        )
    from nightrank.pipeline.output import err
    from nightrank.spark_jobs.sources.imports import import_data

    counts = import_data(
        layout,
        input_,
        root,
        titles=titles,
        mapping=mapping,
        timezone=timezone,
        day=day(date_, "--date") if date_ else None,
        dry_run=dry_run,
        progress=err,
    )
    told = () if as_json else ("detected", "warnings", "faulty")  # import_data has printed them, one line each
    shown = {name: value for name, value in counts.items() if name not in told}
    _answer(f"{'would land' if dry_run else 'landed'} under {root / 'landing'}", shown, as_json)


def simulate(
    root: Root = DEFAULT_ROOT,
    preset: Annotated[str | None, typer.Option("--preset", help="Size of the market: tiny, demo or large.")] = None,
    users: Annotated[int | None, typer.Option("--users", min=1, help="Number of users.")] = None,
    items: Annotated[int | None, typer.Option("--items", min=1, help="Number of items.")] = None,
    days: Annotated[int | None, typer.Option("--days", min=1, help="Days with events; more days extend a market.")] = None,
    start: Annotated[str | None, typer.Option("--start", help="First day, as YYYY-MM-DD.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of all random draws.")] = None,
    react: Annotated[
        bool, typer.Option("--react", help="Land what users do with the newest lists on the day after: impressions and clicks.")
    ] = False,
    overrides: Set = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make a market with known preferences, so that lists can be compared with the truth.

    Examples:

      nightrank simulate --root lake --preset demo

      nightrank simulate --root lake --users 5000 --days 14 --set daily_active=2000

      nightrank simulate --root lake --react
    """
    from nightrank.feature_store.contracts.config import merged
    from nightrank.pipeline.simulate.market import simulate as make
    from nightrank.pipeline.simulate.reactions import react as react_to

    given = {"users": users, "items": items, "days": days, "seed": seed, "preset": preset}
    settings: dict[str, Any] = merged([], overrides or []) | {name: value for name, value in given.items() if value is not None}
    if start:
        settings["start"] = day(start, "--start")
    if react and (settings or start):
        raise UsageError("--react takes the market as it is", "leave out its size, or extend it by a call of its own first")
    counts = react_to(root, dry_run=dry_run) if react else make(root, dry_run=dry_run, **settings)
    _answer(f"{'would be made' if dry_run else 'simulated'} under {root}", counts, as_json)


def _answer(title: str, counts: dict[str, Any], as_json: bool) -> None:
    from nightrank.pipeline.output import print_json, table

    if as_json:
        print_json(counts)
    else:
        rows: list[tuple[Any, ...]] = [(name, value) for name, value in counts.items() if value not in ({}, None)]
        table(title, ("what", "value"), rows)
