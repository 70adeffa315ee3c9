"""`nightrank run open | stage | close | landed`: a run in the hands of Airflow or another orchestrator."""

from typing import Annotated, Any

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands import accepting, requests
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, Json, Root, Set, day

Date = Annotated[str, typer.Option("--date", help="The run's date.")]
Kind = Annotated[str, typer.Option("--kind", help="full or nightly.")]

app = typer.Typer(
    help="A run whose stages an orchestrator starts: open it, start its stages, close it. One lease holds the lake till then.",
    no_args_is_help=True,
)


@app.command("open")
def open_(
    date_: Date,
    kind: Kind = "nightly",
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    redo: Annotated[bool, typer.Option("--redo", help="Open a date again that is done, as a run of its own.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Take the date in although it was held back.")] = False,
    as_json: Json = False,
) -> None:
    """Take the lake for a run and write its run.json. Again for an open run: nothing is lost.

    Exit code 3 on a day without rows: nothing was opened. 5 while another run holds the lake. With --accept 3 too where a newer
    date is current: the next night takes the day in.

    Example: nightrank run open --root lake --date 2024-01-15
    """
    request = requests.request_for(requests.checked_kind(kind), root, day(date_, "--date"), config, overrides, redo)
    if accept:
        accepting.accept_date_of(request)
    requests.answer(_orchestrated().open(request), as_json, root)


@app.command("stage")
def stage(
    names: Annotated[list[str], typer.Argument(help="Stages of the run; neighbours on Spark share an application.")],
    date_: Date,
    kind: Kind = "nightly",
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Run stages of an open run, as far as they are not done. Stages of two commands may run side by side.

    A second attempt shuts the first one out. Exit code 3 where the run has no such stage.

    Example: nightrank run stage ingest_events build_features --root lake --date 2024-01-15
    """
    request = requests.request_of_stage(requests.checked_kind(kind), root, day(date_, "--date"), config, overrides)
    requests.answer(_orchestrated().work(request, names), as_json, root)


@app.command("close")
def close(
    date_: Date,
    kind: Kind = "nightly",
    root: Root = DEFAULT_ROOT,
    as_json: Json = False,
) -> None:
    """Write the run's final result and free the lake, however its stages ended. Exit code 0 once it is closed.

    Example: nightrank run close --root lake --date 2024-01-15
    """
    request = requests.request_of_stage(requests.checked_kind(kind), root, day(date_, "--date"), None, None)
    requests.answer(_orchestrated().close(request), as_json, root)


@app.command("landed")
def landed(
    date_: Annotated[str, typer.Option("--date", help="The day that is waited for.")],
    root: Root = DEFAULT_ROOT,
    as_json: Json = False,
) -> None:
    """Say whether landing files of a day, or of a later one, are there. Only names of folders are read.

    Exit code 3 while there are none: look again later.

    Example: nightrank run landed --root lake --date 2024-01-15
    """
    from nightrank.pipeline.output import out, print_json
    from nightrank.pipeline.run.request import landed_since

    found = landed_since(Lake(root), day(date_, "--date"))
    status = "landed" if found else "nothing"
    if as_json:
        print_json({"status": status, "exit_code": 0 if found else 3, "day": found.isoformat() if found else None})
    else:
        out(f"{found} has landed" if found else f"nothing has landed for {date_} or later")
    raise typer.Exit(0 if found else 3)


def _orchestrated() -> Any:
    from nightrank.pipeline.orchestrated import Orchestrated

    return Orchestrated(requests.runner())
