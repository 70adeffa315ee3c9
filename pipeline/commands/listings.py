"""`lineage` and `export`: what a released list came from, and lists for other programs. Neither starts a JVM."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, Config, DryRun, Json, Root, Set

UNRESOLVED = 4


def lineage(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id, as in the imported data.")],
    rank: Annotated[int, typer.Option("--rank", min=1, help="The place in the list.")] = 1,
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Trace one row of a released list: Delta versions, runs, commit, models and their data.

    Reads only. Exit code 4 if something that the row rests on is no longer there.

    Examples:

      nightrank lineage --root lake --user u17

      nightrank lineage --root lake --user u17 --rank 3 --json
    """
    from nightrank.pipeline.lists.lineage import lineage as traced
    from nightrank.pipeline.output import print_json

    answer = traced(Lake(root), user, rank, config or [], overrides or [])
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    raise typer.Exit(0 if all(step["found"] for step in answer["steps"]) else UNRESOLVED)


def export(
    to: Annotated[Path, typer.Option("--to", help="The file to write; an earlier one is replaced.")],
    release: Annotated[str | None, typer.Option("--release", help="A release id; default: the current one.")] = None,
    kind: Annotated[str | None, typer.Option("--format", help="parquet, csv or jsonl; default: by the file's ending.")] = None,
    root: Root = DEFAULT_ROOT,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Write the lists of a release to one file, with titles.

    The file is whole or not there. In CSV a cell that a spreadsheet would run as a formula begins with an apostrophe.

    Examples:

      nightrank export --root lake --to lists.parquet

      nightrank export --root lake --to lists.csv --dry-run
    """
    from nightrank.pipeline.lists.export import export as written
    from nightrank.pipeline.lists.export import format_of, release_named
    from nightrank.pipeline.output import out, print_json

    if to.is_dir():
        raise UsageError(f"{to} is a folder", "name a file")
    lake, chosen = Lake(root), format_of(to, kind)
    found = release_named(lake, release)
    if not dry_run:
        _noted(lake, to, chosen, found.release_id)
    rows = found.rows if dry_run else written(lake, found, to, chosen)
    body = {"release_id": found.release_id, "date": found.date, "users": found.users, "rows": rows, "file": str(to)}
    if as_json:
        print_json({**body, "format": chosen, "status": "planned" if dry_run else "done"})
    else:
        done = "would write" if dry_run else "wrote"
        out(f"{done} {rows:,} rows of {found.users:,} users, release {found.release_id}, to {to}")


def _noted(lake: Lake, to: Path, kind: str, release_id: str) -> None:
    """Who may read a lake and not write in it exports all the same, and is told what that means."""
    from nightrank.pipeline.lists.exported import remember
    from nightrank.pipeline.output import err

    try:
        remember(lake, to, kind, release_id)
    except PermissionError:
        err(f"the lake could not note this export: `nightrank erase` will not find {to}")


def _print(answer: dict[str, Any]) -> None:
    from nightrank.pipeline.output import out, table

    row, release, run, model = (answer[name] for name in ("row", "release", "run", "model"))
    out(
        f"rank {row['rank']}: {row['item_id']} {row['title'] or ''}  score {row['score']:.4f}  {row['fallback'] or ''}".rstrip()
    )
    out(f"list {row['list_id']} of release {release['id']} ({release['date']})")
    out(f"made by run {run['run_id']}, commit {run['commit'] or 'unknown'}, configuration {str(run['config_sha256'])[:12]}")
    out(f"with {model['name']} version {model['version']}, bundle {model['manifest_sha256'][:12]}")
    columns = ("version", "run", "date", "trained on", "interactions")
    rows = [
        (one["version"], one["run_id"], one["date"], one["snapshot_id"][:12], (one["data"] or {}).get("interactions"))
        for one in answer["chain"]
    ]
    table("models, newest first: each grew from the next", columns, rows)
    table("what it rests on", ("", "found"), [(step["what"], "yes" if step["found"] else "NO") for step in answer["steps"]])
