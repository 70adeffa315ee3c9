"""`demo`: a market, its full run and one night, then a list to look at."""

from typing import Annotated

import typer

from nightrank.feature_store.contracts.storage import lake_root
from nightrank.pipeline.commands.options import Json, Root, Set

DEFAULT_DEMO_ROOT = lake_root("lake/demo")


def demo(
    root: Root = DEFAULT_DEMO_ROOT,
    size: Annotated[
        str, typer.Option("--size", help="demo (takes minutes), or tiny (a quick check that everything works).")
    ] = "demo",
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Simulate a market, run a full training and the next night, and show one user's recommendations.

    A finished demo answers in seconds. An interrupted one continues where it stopped.

    Examples:

      nightrank demo

      nightrank demo --size tiny --root lake/tiny
    """
    from nightrank.pipeline.demo import run_demo, show
    from nightrank.pipeline.output import print_json

    answer = run_demo(root, size, overrides or [])
    if as_json:
        print_json(answer)
    else:
        show(answer)
    raise typer.Exit(answer["exit_code"])
