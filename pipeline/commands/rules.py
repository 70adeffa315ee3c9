"""`rules`: what a shop lets its lists show, kept in the lake and edited as a file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, DryRun, Json, Root

app = typer.Typer(help="A shop's rules for lists: allow, deny, price, stock, already bought, caps.", no_args_is_help=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or a YAML list. Replaces all rules of the lake.")],
    root: Root = DEFAULT_ROOT,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Replace the lake's rules by those of a file. The next run's lists follow them.

    Columns: kind, item, category, number, lowest, highest, actions, days, at_most, note. A rule that names an item, a category
    or a number that the lake does not have is refused (exit 4).

    Examples:

      printf 'kind,item,category,lowest,at_most\\ndeny,i3,,,\\ncap,,games,,2\\nprice,,,5,\\n' > rules.csv

      nightrank rules import rules.csv --root lake --dry-run

      nightrank rules import rules.csv --root lake
    """
    from nightrank.pipeline.lists.rules import import_rules
    from nightrank.pipeline.output import out, print_json

    answer = import_rules(Lake(root), file, dry_run=dry_run)
    if as_json:
        print_json(answer)
        return
    verb = "would hold" if dry_run else "holds"
    out(f"{root} {verb} {answer['rules']} rules" + ("" if dry_run else f" (version {answer['version']})"))
    for name in ("added", "removed"):
        for label in answer[name]:
            out(f"  {name}: {label}")


@app.command()
def show(root: Root = DEFAULT_ROOT, as_json: Json = False) -> None:
    """Show the rules that the next run's lists follow.

    Examples:

      nightrank rules show --root lake

      nightrank rules show --root lake --json
    """
    from nightrank.pipeline.lists.rules import current_rules
    from nightrank.pipeline.output import print_json, table

    answer: dict[str, Any] = current_rules(Lake(root))
    if as_json:
        print_json(answer)
        return
    version = answer["version"]
    title = "no rules" if version is None else f"{len(answer['rules'])} rules, version {version}"
    table(title, ("#", "rule", "note"), [(n, rule["label"], rule.get("note")) for n, rule in enumerate(answer["rules"], 1)])
