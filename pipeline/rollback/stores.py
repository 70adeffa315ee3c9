"""What a rollback does to each store that shows what is current: the lake's own file and table, MLflow, Redis."""

from collections.abc import Sequence
from typing import Any, Final

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import RELEASES
from nightrank.pipeline.child import answered
from nightrank.pipeline.lists.redis_release import RedisReleases
from nightrank.pipeline.rollback.step import Step

ALIAS: Final = "nightrank.trainer.stages.alias"
"""The program that moves MLflow's aliases."""
TABLE: Final = f"Delta table {RELEASES.name}"


class Store(FrozenConfig):
    name: str
    did: str
    """What became of it, as a sentence without its subject."""
    changed: bool = False
    behind: bool = False
    """It still shows what was current before; `did` says what brings it in line."""


def of_lake(lake: Lake, step: Step, *, done: bool) -> list[Store]:
    """The lake's own, to be read before the change. `done` chooses the words."""
    return [_champion(lake, step, done), _releases(lake, step, done)]


def to_follow(redis: Sequence[RedisReleases]) -> list[Store]:
    """What would become of the stores outside."""
    aliases = Store(name="MLflow", did="the aliases champion, previous and challenger would follow")
    return [aliases, *(Store(name=f"Redis {each.address}", did=f"{each.prefix}:current would be switched") for each in redis)]


def followed(lake: Lake, step: Step) -> Store:
    """What became of MLflow's aliases: a tracker that is away leaves the others as they are."""
    try:
        moved = answered(ALIAS, str(lake.run_dir(step.champion.run_id)), "MLflow's aliases were not moved")["moved"]
    except NightrankError as error:
        return Store(name="MLflow", did=f"the aliases follow with the next run: {error.message}", behind=True)
    return Store(name="MLflow", did="; ".join(moved) or "no alias had to be moved", changed=bool(moved))


def of_redis(switched: dict[str, Any]) -> Store:
    """An answer of `published.switch` as a sentence."""
    name, prefix = f"Redis {switched['address']}", switched["prefix"]
    if switched["error"]:
        return Store(name=name, did=f"{prefix}:current still names the lists before: {switched['error']}", behind=True)
    if switched["replaced"] is None:
        return Store(name=name, did=f"{prefix}:current names these lists, as before")
    how = "the lists were written and switched to" if switched["written"] else "the lists were there whole and switched to"
    return Store(name=name, did=f"{prefix}: {how} in {switched['seconds']} s", changed=True)


def _champion(lake: Lake, step: Step, done: bool) -> Store:
    model = step.champion
    named = f"{model.name} version {model.version} of {model.date}"
    if model.same_as(lake.champion()):
        return Store(name="champion.json", did=f"names {named}, as before")
    return Store(name="champion.json", did=f"{'names' if done else 'would name'} {named}, not {step.replaced}", changed=True)


def _releases(lake: Lake, step: Step, done: bool) -> Store:
    release, current = step.release, delta_read.latest_release(lake)
    named = f"release {release.label}"
    if current is not None and current.release_id == release.release_id:
        return Store(name=TABLE, did=f"{named} is the newest, as before")
    versions = ", ".join(f"{table} at version {version}" for table, version in release.lists.items())
    return Store(name=TABLE, did=f"{'has' if done else 'would have'} {named} as its newest: {versions}", changed=True)
