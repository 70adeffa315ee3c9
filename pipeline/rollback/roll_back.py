"""Going back: an earlier champion and lists that it made are current again.

Under the lake's lease and fence. `champion.json` moves first, then one release is appended, then the other stores follow. Cut
off in between, the same command ends what it began and does not go back once more.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nightrank.feature_store import delta_read, release_rows
from nightrank.feature_store.contracts.champion import set_back_champion
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lease import held
from nightrank.pipeline.lists import published
from nightrank.pipeline.lists.redis_release import RedisReleases
from nightrank.pipeline.rollback import stores
from nightrank.pipeline.rollback.named import planned_to
from nightrank.pipeline.rollback.step import Step, made_by, planned
from nightrank.pipeline.rollback.stores import Store


def roll_back(
    lake: Lake, *, to: str | None = None, redis: Sequence[RedisReleases] = (), dry_run: bool = False
) -> dict[str, Any]:
    """What is current, and what became of each store. `to` names a release, by its id or how that begins; without it the
    champion before the present one is gone back to, with the newest lists that it made. `redis`: each one that has lists.

    SafetyRefusal where there is nothing to go back to, or what is named can serve no longer; UsageError where no release has
    the name. A Redis that could not follow is told by its `error` in the answer.
    """
    if dry_run:
        step = _planned(lake, to)
        return _answer(step, "planned", [*stores.of_lake(lake, step, done=False), *stores.to_follow(redis)], [])
    with held(lake, f"rollback-{datetime.now(UTC):%Y-%m-%dT%H%M%S}") as lease:
        step = _planned(lake, to)
        changed = stores.of_lake(lake, step, done=True)
        with lease.commit():
            if not step.champion.same_as(lake.champion()):
                set_back_champion(lake, step.champion)
            if not _current(lake, step, to):
                release_rows.append(lake, step.release.model_copy(update={"fence": lease.fence}))
    status = "done" if any(store.changed for store in changed) else "already_done"
    aliases = stores.followed(lake, step)
    switched = published.switch(lake, delta_read.latest_release(lake) or step.release, list(redis))
    return _answer(step, status, [*changed, aliases, *map(stores.of_redis, switched)], switched)


def _planned(lake: Lake, to: str | None) -> Step:
    return planned(lake) if to is None else planned_to(lake, to)


def _current(lake: Lake, step: Step, to: str | None) -> bool:
    """Lists of the champion are current; where a release was named, its lists."""
    current = delta_read.latest_release(lake)
    if current is None:
        return False
    return made_by(lake, current, step.champion) if to is None else current.release_id == step.release.release_id


def _answer(step: Step, status: str, found: list[Store], switched: list[dict[str, Any]]) -> dict[str, Any]:
    champion = step.champion.model_dump(include={"name", "version", "date", "manifest_sha256"})
    release = step.release.model_dump(include={"release_id", "date", "users", "rows", "recommendations_version"})
    return {
        "status": status,
        "champion": champion,
        "release": release,
        "replaced": step.replaced,
        "note": "; ".join(store.did for store in found if store.behind),
        "stores": [store.model_dump(mode="json") for store in found],
        "redis": switched,
    }
