"""`recommend`: released lists, and what the released model lists for others. Starts no JVM."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, Json, Root, Set

MOST_USERS: Final = 10_000


def recommend(
    items: Annotated[list[str] | None, typer.Argument(help="With --history: item ids, oldest first.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="The user's id, as in the imported data.")] = None,
    users: Annotated[Path | None, typer.Option("--users", help="A file with one user id a line.")] = None,
    history: Annotated[bool, typer.Option("--history", help="A list for somebody who looked at these items.")] = False,
    k: Annotated[int, typer.Option("--k", min=1, help="Items of a list that was not released.")] = 10,
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Show current lists: of one user, of a file of users, or for items that somebody looked at.

    Who has no list gets the most popular items, and the answer says so.

    Examples:

      nightrank recommend --root lake --user u17

      nightrank recommend --root lake --users ids.txt --json

      nightrank recommend --root lake --history i3 i8 i21
    """
    from nightrank.pipeline.output import print_json
    from nightrank.pipeline.recommend import of_session, recommendations_of

    chosen = sum((user is not None, users is not None, history))
    if chosen != 1 or bool(items) != history:
        raise UsageError("give one of --user U, --users FILE, --history ITEM ...", "`nightrank recommend --help` has examples")
    lake = Lake(root)
    if history:
        answers = [of_session(lake, items or [], k)]
    else:
        ids = [user] if user is not None else _ids(users or Path())
        answers = recommendations_of(lake, ids, config or [], overrides or [], k)
    if as_json:
        print_json({"lists": answers} if users is not None else answers[0])
        return
    for answer in answers:
        _print(answer)


def _ids(path: Path) -> list[str]:
    """The ids in the file, each once, in its order. UsageError where there are none, or more than one call should answer."""
    try:
        ids = list(dict.fromkeys(filter(None, (line.strip() for line in path.read_text().splitlines()))))
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path} cannot be read", "give a text file with one user id a line") from None
    if not 0 < len(ids) <= MOST_USERS:
        raise UsageError(f"{path} has {len(ids):,} ids", f"1 to {MOST_USERS:,} fit; `nightrank export` writes all lists")
    return ids


def _print(answer: dict[str, Any]) -> None:
    from nightrank.pipeline.output import table

    label = answer.get("user") or "after " + ", ".join(answer["history"])
    unknown = "" if answer.get("known", True) else " (has no list: the most popular items)"
    model = answer["model"]
    title = f"{label}{unknown}: release of {answer['date']}, model {model['name']} version {model['version']}"
    rows = [(row["rank"], row["item_id"], row["title"], f"{row['score']:.4f}", row["fallback"]) for row in answer["items"]]
    table(title, ("rank", "item", "title", "score", "fallback"), rows)
