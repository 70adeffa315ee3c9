"""`rollback`: the one command that goes back in time."""

from typing import Any

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, DryRun, Json, Redis, Root


def rollback(root: Root = DEFAULT_ROOT, redis: Redis = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Go back to the previous champion and to the newest lists that it made.

    Redis, where the lists were published, is switched too. Exit code 9 if there is nothing to go back to, 8 if Redis is away.

    Examples:

      nightrank rollback --root lake --dry-run

      nightrank rollback --root lake
    """
    from nightrank.pipeline.lists import published
    from nightrank.pipeline.output import out, print_json
    from nightrank.pipeline.recommend import current
    from nightrank.pipeline.rollback import roll_back

    lake = Lake(root)
    stores = published.stores(lake, redis)
    answer: dict[str, Any] = roll_back(lake, dry_run=dry_run)
    answer["redis"] = [] if dry_run else published.switch(lake, current(lake), stores)
    if as_json:
        print_json(answer)
        published.refuse_unswitched(answer["redis"])
        raise typer.Exit
    verb = "would be" if dry_run else "is"
    model, lists = answer["champion"], answer["release"]
    named = f"{model['name']} version {model['version']} of {model['date']}"
    out(f"{named} {verb} the champion, in place of {answer['replaced']}")
    verb = "would be" if dry_run else "are"
    out(f"the lists of {lists['date']} {verb} current: {lists['users']:,} users, {lists['rows']:,} rows")
    if answer["note"]:
        out(answer["note"])
    for place in answer["redis"]:
        if not place["error"]:
            how = "written and switched to" if place["written"] else "switched to"
            out(f"{place['address']}: {how} the lists of {lists['date']} in {place['seconds']} s")
    published.refuse_unswitched(answer["redis"])
