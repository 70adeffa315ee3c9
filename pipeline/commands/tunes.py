"""`tune`: a search for better settings."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, DryRun, Json, Root, Set


def tune(
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    space: Annotated[
        Path | None, typer.Option("--space", help="YAML file with the search space; default: conf/tune.yaml.")
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Total number of trials, including those of earlier calls.")
    ] = 20,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Seconds after which no further trial begins.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="The run whose training set is used; default: the newest finished full run.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Search for better settings on the training set of a finished run.

    Each trial trains phase `fit`. Trials are compared by validation NDCG@10; the test split is never read.
    Without --config the search starts from the run's own configuration.

    Writes the best settings to a file for `nightrank full --config`. The same command again continues the search.
    Exit code 3 if all trials are done.

    Examples:

      nightrank tune --root lake --trials 30

      nightrank tune --root lake --trials 30 --set trainer.fit.epochs=8 --space space.yaml
    """
    from nightrank.pipeline.output import print_json
    from nightrank.pipeline.tune.request import TuneRequest, spec_of
    from nightrank.pipeline.tune.search import plan_of
    from nightrank.pipeline.tune.search import tune as search

    spec = spec_of(TuneRequest(root, config or [], overrides or [], run, space, trials, timeout))
    if dry_run:
        plan = plan_of(spec)
        print_json(plan) if as_json else _show_plan(plan)
        return
    answer = search(spec)
    print_json(answer) if as_json else _show(answer)
    raise typer.Exit(answer["exit_code"])


def _show_plan(plan: dict[str, Any]) -> None:
    from nightrank.pipeline.output import table

    title = f"study {plan['study']}: {plan['status']}, {plan['trials']} trials on the training set of {plan['run_id']}"
    table(title, ("key", "tried"), [(key, _tried(dimension)) for key, dimension in plan["space"].items()])


def _tried(dimension: dict[str, Any]) -> str:
    if "choices" in dimension:
        return ", ".join(map(str, dimension["choices"]))
    step = f" in steps of {dimension['step']}" if "step" in dimension else ""
    return f"{dimension['low']} to {dimension['high']}{step}{', logarithmic' if dimension['log'] else ''}"


def _show(answer: dict[str, Any]) -> None:
    """The best trials, the winner, and where its settings were written."""
    from nightrank.pipeline.output import out, table

    whole = sorted((row for row in answer["all"] if row["value"] is not None), key=lambda row: (-row["value"], row["trial"]))
    rows = [(row["trial"], f"{row['value']:.4f}", row["epochs"], _named(row["params"])) for row in whole[:10]]
    counts = f"{answer['trials']} trials, {answer['pruned']} pruned, {answer['failed']} failed"
    title = f"study {answer['study']}: {answer['status'].replace('_', ' ')}, {counts}"
    table(title, ("trial", "NDCG@10", "epochs", "parameters"), rows)
    out(answer["chosen_by"])
    for name, path in answer["pictures"].items():
        out(f"  {name}: {path}")
    if answer["overlay"]:
        out(f"  the best: nightrank full --config {answer['overlay']}")


def _named(params: dict[str, Any]) -> str:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in sorted(params.items())}
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in shown.items())
