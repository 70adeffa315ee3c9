"""Options that several commands take, written once."""

from datetime import date
from typing import Annotated, Final

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.storage import Location, lake_root

ROOT: Final = typer.Option(
    "--root",
    help="The lake: a folder, s3://bucket/folder or hdfs://cluster/folder.",
    envvar="NIGHTRANK_ROOT",
    parser=lake_root,
    metavar="LAKE",
)
Root = Annotated[Location, ROOT]
Config = Annotated[
    list[str] | None, typer.Option("--config", "-c", help="YAML file, or a name in conf/. Repeatable; later files win.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="One setting, such as trainer.workers=1; wins over files; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout, everything else to stderr.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
Redis = Annotated[
    str | None,
    typer.Option(
        "--redis", help="Address of the Redis that has the lists; only if it has a password.", envvar="NIGHTRANK_REDIS"
    ),
]

DEFAULT_ROOT = lake_root("lake")


def day(text: str, option: str) -> date:
    """The date of an option; UsageError where it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a date", "write it as YYYY-MM-DD") from None
