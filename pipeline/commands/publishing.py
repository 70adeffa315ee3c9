"""`publish`: the current release in Redis."""

from typing import Annotated

import typer

from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.options import DEFAULT_ROOT, DryRun, Json, Root

REDIS = typer.Option("--redis", help="Address, as redis://host:6379/0.", envvar="NIGHTRANK_REDIS")


def publish(
    redis: Annotated[str, REDIS],
    root: Root = DEFAULT_ROOT,
    prefix: Annotated[str, typer.Option("--prefix", help="How every key begins.")] = "nightrank",
    keep: Annotated[
        int, typer.Option("--keep", min=60, help="Seconds for which releases that are not current stay.")
    ] = 604_800,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Put the current release into Redis, whole, and switch readers to it in one step.

    Cut off, the same command writes it again; readers see the release before until then. After a rollback the same command
    switches back. Exit code 8 if Redis is away. Needs the extra: pip install 'nightrank[redis]'.

    Examples:

      nightrank publish --root lake --redis redis://localhost:6379/0

      redis-cli hget "nightrank:$(redis-cli get nightrank:current):users" u17
    """
    from nightrank.pipeline.lists.published import remember
    from nightrank.pipeline.lists.redis_release import RedisReleases
    from nightrank.pipeline.output import out, print_json
    from nightrank.pipeline.recommend import current

    lake = Lake(root)
    release, store = current(lake), RedisReleases(redis, prefix, keep)
    if dry_run:
        answer = {"release_id": release.release_id, "users": release.users, "replaces": store.current()}
    else:
        store.current()  # an address that is wrong or away is not remembered
        remember(lake, redis, prefix, keep)
        answer = store.publish(lake, release)
    if as_json:
        print_json({"status": "planned" if dry_run else "done", **answer})
    else:
        verb = "would be" if dry_run else "are"
        out(f"release {release.release_id} of {release.date}: {release.users:,} users {verb} in Redis")
