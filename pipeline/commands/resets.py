"""`reset-vocabulary`: the one command that gives dense ids again."""

from typing import Annotated

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, DryRun, Json, Root


def reset_vocabulary(
    root: Root = DEFAULT_ROOT,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: models that were trained so far are refused afterwards.")] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Give every user and item a new number, and refuse the models that know the old ones.

    The lists that are live stay live. The next run must be a full one; nights end with exit code 9 until then. Exit code 9
    without --yes, 3 where there is no vocabulary, 5 while a run works on the lake.

    Examples:

      nightrank reset-vocabulary --root lake --dry-run

      nightrank reset-vocabulary --root lake --yes
    """
    from nightrank.pipeline.output import out, print_json, table
    from nightrank.pipeline.reset_vocabulary import reset_vocabulary as reset

    answer = reset(Lake(root), confirmed=yes, dry_run=dry_run)
    if as_json:
        print_json(answer)
        raise typer.Exit
    verb = "would be" if dry_run else "is"
    table(f"the vocabulary {verb} of lineage {answer['lineage']}", ("emptied", "rows"), list(answer["emptied"].items()))
    if refused := answer["refused"]:
        out(f"{refused['name']} version {refused['version']} of {refused['date']} and all before it {verb} refused")
    out("next: `nightrank full`; the lists that are live stay live until then")
