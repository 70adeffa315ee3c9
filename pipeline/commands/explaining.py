"""`explain`: why a user is recommended an item."""

from typing import Annotated

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, Json, Root, Set


def explain(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id, as in the imported data.")],
    item: Annotated[str, typer.Option("--item", "-i", help="The item's id; it need not be in the user's list.")],
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Say which items of the user's history moved the score of an item most.

    The effect of an item is how much lower the released model's score is without it.

    Examples:

      nightrank explain --root lake --user u17 --item i3
    """
    from nightrank.pipeline.lists.explain import explain as explained
    from nightrank.pipeline.output import out, print_json, table

    answer = explained(Lake(root), user, item, config or [], overrides or [])
    if as_json:
        return print_json(answer)
    out(answer["sentence"])
    rows = [(row["item_id"], row["title"], f"{row['effect']:+.4f}") for row in answer["effects"]]
    table(f"score {answer['score']:.4f}; what it loses without each item", ("item", "title", "effect"), rows)
