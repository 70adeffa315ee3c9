"""`rollback`: the one command that goes back in time."""

from typing import Any

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, DryRun, Json, Root


def rollback(root: Root = DEFAULT_ROOT, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Go back to the previous champion and to the newest lists that it made.

    Exit code 9 if there is nothing to go back to.

    Examples:

      nightrank rollback --root lake --dry-run

      nightrank rollback --root lake
    """
    from nightrank.pipeline.output import out, print_json
    from nightrank.pipeline.rollback import roll_back

    answer: dict[str, Any] = roll_back(Lake(root), dry_run=dry_run)
    if as_json:
        print_json(answer)
        raise typer.Exit
    verb = "would be" if dry_run else "is"
    model, lists = answer["champion"], answer["release"]
    named = f"{model['name']} version {model['version']} of {model['date']}"
    out(f"{named} {verb} the champion, in place of {answer['replaced']}")
    verb = "would be" if dry_run else "are"
    out(f"the lists of {lists['date']} {verb} current: {lists['users']:,} users, {lists['rows']:,} rows")
    if answer["note"]:
        out(answer["note"])
