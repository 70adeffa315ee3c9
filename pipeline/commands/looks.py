"""`doctor`, `verify` and `config`: look, and change nothing. None starts a JVM but `doctor --cluster`."""

from typing import Annotated, Final

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location, lake_root
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, Json, Root, Set

ALSO: Final = typer.Option("--root", help="Also check this lake.", envvar="NIGHTRANK_ROOT", parser=lake_root, metavar="LAKE")


def doctor(
    root: Annotated[Location | None, ALSO] = None,
    config: Config = None,
    overrides: Set = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Also ask every executor of spark.master for its Python and packages.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is missing or risky on this machine, and how to fix it.

    Changes nothing. Exit code 1 if something must be fixed.

    Examples:

      nightrank doctor

      nightrank doctor --root lake --config mine.yaml

      nightrank doctor --cluster --set spark.master=spark://host:7077
    """
    from nightrank.pipeline.config import night_of
    from nightrank.pipeline.doctor import main

    settings = night_of(config or [], overrides or [])
    raise typer.Exit(main(root, as_json, settings, cluster=cluster))


def verify(
    root: Root = DEFAULT_ROOT,
    run: Annotated[str | None, typer.Option("--run", help="A run id; default: the run that made the current lists.")] = None,
    erased: Annotated[str | None, typer.Option("--erased", help="Search every file for this user's id instead.")] = None,
    config: Config = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Check every output of a run: files, ids, row counts, lists.

    Reads only. Exit code 4 if a check fails, or if a file holds the user of --erased. Only --erased reads a configuration.

    Examples:

      nightrank verify --root lake

      nightrank verify --root lake --run nightly-2024-01-15

      nightrank verify --root lake --erased u17 --config mine.yaml
    """
    if erased is not None:
        from nightrank.pipeline.commands.erasures import answer_search

        return answer_search(root, erased, config, overrides, as_json)
    from nightrank.pipeline.output import print_json, table
    from nightrank.pipeline.verify import verify_run

    outcome = verify_run(Lake(root), run)
    if as_json:
        print_json(outcome.to_json())
    else:
        marks = {"ok": "ok", "failed": "FAILED", "skipped": "-"}
        table(
            f"{outcome.run_id}: {outcome.status}",
            ("check", "", "seen"),
            [(check.name, marks[check.status], check.seen) for check in outcome.checks],
        )
    raise typer.Exit(outcome.exit_code)


def config(
    files: Config = None,
    overrides: Set = None,
    show: Annotated[bool, typer.Option("--show", help="Print every setting with its value.")] = False,
    reference: Annotated[bool, typer.Option("--reference", help="Print what every setting does, as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Check a configuration; with --show print every setting with its value, as YAML.

    Examples:

      nightrank config --config mine.yaml

      nightrank config --show --config amazon-games --set trainer.workers=1
    """
    import yaml

    from nightrank.pipeline.config import configured
    from nightrank.pipeline.output import out, print_json

    if reference:
        from nightrank.pipeline.reference import reference as page

        out(page(), end="")
        return
    if not show and not files and not overrides:
        raise UsageError("nothing to check", "write `nightrank config --show`, or give --config or --set")
    whole = configured(files or [], overrides or [])
    if as_json:
        print_json({"config_sha256": whole.sha256} | ({"config": whole.shown} if show else {}))
    else:
        out(yaml.safe_dump(whole.shown, sort_keys=False) if show else f"the configuration is valid; sha256 {whole.sha256}")
