"""`explain`: why a user is recommended an item."""

from typing import Annotated

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, Json, Root, Set


def explain(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id, as in the imported data.")],
    item: Annotated[str, typer.Option("--item", "-i", help="The item's id; it need not be in the user's list.")],
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    ctr: Annotated[bool, typer.Option("--clicks", help="Explain the click ranker's probability instead.")] = False,
    action: Annotated[str | None, typer.Option("--action", help="With --clicks: which action; by default the first.")] = None,
    as_json: Json = False,
) -> None:
    """Say which items of the user's history moved the score of an item most.

    The effect of an item is how much lower the released model's score is without it. With --clicks: what each input of the
    click ranker adds to the probability of an action (integrated gradients), from a row of which nothing is known.

    Examples:

      nightrank explain --root lake --user u17 --item i3

      nightrank explain --root lake --user u17 --item i3 --clicks --action purchase
    """
    if action is not None and not ctr:
        raise UsageError("--action is about the click ranker", "give --clicks too")
    if ctr:
        return _ctr(Lake(root), user, item, action, (config or [], overrides or []), as_json)
    from nightrank.pipeline.lists.explain import explain as explained
    from nightrank.pipeline.output import out, print_json, table

    answer = explained(Lake(root), user, item, config or [], overrides or [])
    if as_json:
        return print_json(answer)
    out(answer["sentence"])
    rows = [(row["item_id"], row["title"], f"{row['effect']:+.4f}") for row in answer["effects"]]
    table(f"score {answer['score']:.4f}; what it loses without each item", ("item", "title", "effect"), rows)


def _ctr(lake: Lake, user: str, item: str, action: str | None, settings: tuple[list[str], list[str]], as_json: bool) -> None:
    from nightrank.pipeline.lists.explain_ctr import explain_ctr
    from nightrank.pipeline.output import out, print_json, table

    answer = explain_ctr(lake, user, item, action, *settings)
    if as_json:
        return print_json(answer)
    out(answer["sentence"])
    rows = [(row["input"], row["value"], f"{row['adds']:+.4f}") for row in answer["inputs"]]
    title = f"{answer['action']} {answer['probability']:.4f} = {answer['base']:.4f} of a row without inputs, and"
    table(title, ("input", "value", "adds"), rows)
