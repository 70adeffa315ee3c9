"""`rollback`: the one command that goes back in time."""

from typing import Annotated, Any

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, DryRun, Json, Redis, Root

TO = typer.Option("--to", metavar="RELEASE", help="A release, by its id or how that begins; by default the champion before.")


def rollback(
    root: Root = DEFAULT_ROOT,
    to: Annotated[str | None, TO] = None,
    redis: Redis = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Go back to the previous champion and to the newest lists that it made, or to the release that --to names.

    Says what became of each store: champion.json, the Delta table of releases, MLflow's aliases, and each Redis where the lists
    were published. With --to, the same command again changes nothing, and it goes forward to a later release in the same way.

    Exit code 9 if there is nothing to go back to, or if files, columns or vocabulary of the release no longer serve; 2 if no
    release has that id, with those that are known; 8 if the lake went back and Redis was away.

    Examples:

      nightrank rollback --root lake --dry-run

      nightrank rollback --root lake

      nightrank rollback --root lake --to 3f9a1c
    """
    from nightrank.pipeline.lists import published
    from nightrank.pipeline.output import out, print_json
    from nightrank.pipeline.rollback.roll_back import roll_back

    lake = Lake(root)
    answer: dict[str, Any] = roll_back(lake, to=to, redis=published.stores(lake, redis), dry_run=dry_run)
    if as_json:
        print_json(answer)
        published.refuse_unswitched(answer["redis"])
        raise typer.Exit
    verb = "would be" if dry_run else "is"
    model, lists = answer["champion"], answer["release"]
    out(f"{model['name']} version {model['version']} of {model['date']} {verb} the champion")
    verb = "would be" if dry_run else "are"
    out(f"the lists of {lists['date']} {verb} current: {lists['users']:,} users, {lists['rows']:,} rows")
    for store in answer["stores"]:
        out(f"  {store['name']}: {store['did']}")
    published.refuse_unswitched(answer["redis"])
