"""`erase`: a user is removed from every file of the lake."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands import requests
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, DryRun, Json, Redis, Root, Set


def erase(
    user: Annotated[list[str] | None, typer.Option("--user", "-u", help="The user's id, as imported. Repeatable.")] = None,
    users: Annotated[Path | None, typer.Option("--users", help="A file with one id a line.")] = None,
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    redis: Redis = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Start a full run afterwards, which learns from the rest.")
    ] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Remove users from every file of the lake, every Redis that it published to, a remote MLflow, exported lists and Spark's
    event logs; drop them from later exports.

    Needs ids.key_file. Exit code 3 if nothing holds the user, 5 while a run works on the lake, 8 if Redis or MLflow is away.

    Examples:

      nightrank erase --user u17 --root lake --config mine.yaml --dry-run

      nightrank erase --users leaving.txt --root lake --config mine.yaml --retrain
    """
    from nightrank.pipeline.config import configured
    from nightrank.pipeline.erase import erase as remove
    from nightrank.pipeline.output import err, print_json, table

    lake = Lake(root)
    settings = configured(config or [], overrides or [], lake)
    answer = remove(lake, _ids(user, users), settings, redis=redis, dry_run=dry_run, progress=err)
    if as_json and not retrain:
        print_json(answer)
        return
    if not as_json:
        title = "would be rewritten" if dry_run else "rewritten"
        table(title, ("user", "where", "rows and cells", "files"), _rows(answer))
        if lists := sum(each.get("published_lists", 0) for each in answer["users"]):
            err(f"lists removed from Redis: {lists}")
        for place in (place for each in answer["users"] for place in each["outside"]):
            err(f"{place['name']}: {len(place['found'])} found, {place['rewritten']} files rewritten")
        for note in answer["notes"]:
            err(note)
    if retrain and not dry_run:
        requests.run_or_plan("full", root, requests.last_day(root), config, overrides, True, as_json, False)


def answer_search(root: Any, user: str, config: list[str] | None, overrides: list[str] | None, as_json: bool) -> None:
    """The answer of `verify --erased`. Exit code 4 where a file holds the user."""
    from nightrank.pipeline.config import configured
    from nightrank.pipeline.output import err, print_json, table
    from nightrank.pipeline.search_erased import search

    lake = Lake(root)
    answer = search(lake, user, configured(config or [], overrides or [], lake))
    if as_json:
        print_json(answer)
    else:
        rows = [(hit["path"], hit["rows"] + hit["cells"]) for hit in answer["found"]]
        rows += [(each, "") for place in answer["outside"] for each in place["found"]]
        table(f"{answer['files']} files searched: {answer['status']}", ("file", "rows, cells or words"), rows)
        for place in answer["outside"]:
            err(f"{place['name']} searched too" + "".join(f"; not {each}" for each in place["unread"]))
    raise typer.Exit(answer["exit_code"])


def _ids(user: list[str] | None, users: Path | None) -> list[str]:
    """UsageError where none is given."""
    listed = users.read_text().splitlines() if users is not None else []
    ids = [each.strip() for each in [*(user or []), *listed] if each.strip()]
    if not ids:
        raise UsageError("whom to erase is not given", "give --user ID, or --users FILE with one id a line")
    return ids


def _rows(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (each["user"][:19], area, count, each["files"].get(area, 0))
        for each in answer["users"]
        for area, count in sorted(each.get("rows", {}).items())
    ]
