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
    similar_to: Annotated[str | None, typer.Option("--similar-to", help="Items like this one, with reasons.")] = None,
    segment: Annotated[str | None, typer.Option("--segment", help="What a segment chose most lately; '' is everybody.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Items of a list that was not released.")] = 10,
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Show current lists: of one user, of a file of users, for items that somebody looked at, like an item, of a segment.

    Who has no list gets the most popular items, and the answer says so.

    Examples:

      nightrank recommend --root lake --user u17

      nightrank recommend --root lake --users ids.txt --json

      nightrank recommend --root lake --history i3 i8 i21

      nightrank recommend --root lake --similar-to i3
    """
    from nightrank.pipeline.output import print_json
    from nightrank.pipeline.recommend import of_session, recommendations_of

    chosen = sum((user is not None, users is not None, history, similar_to is not None, segment is not None))
    if chosen != 1 or bool(items) != history:
        ways = "--user U, --users FILE, --history ITEM ..., --similar-to ITEM, --segment NAME"
        raise UsageError(f"give one of {ways}", "`nightrank recommend --help` has examples")
    lake = Lake(root)
    if similar_to is not None or segment is not None:
        return _others(lake, similar_to, segment, k, as_json)
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


def _others(lake: Lake, item: str | None, segment: str | None, k: int, as_json: bool) -> None:
    from nightrank.pipeline.lists.others import popular_in, similar_to
    from nightrank.pipeline.output import print_json, table

    answer = similar_to(lake, item, k) if item is not None else popular_in(lake, segment or "", k)
    if as_json:
        return print_json(answer)
    what = f"like {item}" if item is not None else f"popular with {segment or 'everybody'}"
    last = "reason" if item is not None else "count"
    rows = [(row["rank"], row["item_id"], row["title"], row[last]) for row in answer["items"]]
    table(f"{what}: release of {answer['date']}", ("rank", "item", "title", last), rows)
