"""Every Redis that holds lists of a lake: where a rollback switches readers, and where an erasure removes a user.

`LAKE/published.json` names them, each without user and password. It is written before the first list leaves the lake.
"""

import time
from typing import Any, Final

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable, NightrankError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.secrets import without_credentials
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.lists.redis_release import KEPT_SECONDS, PREFIX, RedisReleases

NAME: Final = "published.json"


class Place(FrozenConfig):
    """One Redis and prefix. `locked`: its address had a user or password, which are not kept here."""

    address: str
    prefix: str = PREFIX
    kept_seconds: int = KEPT_SECONDS
    locked: bool = False


def places(lake: Lake) -> tuple[Place, ...]:
    """In the order in which they were first published to."""
    path = _path(lake)
    return tuple(Place.model_validate(each) for each in read_json(path)) if path.exists() else ()


def remember(lake: Lake, address: str, prefix: str, kept_seconds: int) -> None:
    """From now on rollbacks and erasures reach this Redis."""
    bare = without_credentials(address)
    place = Place(address=bare, prefix=prefix, kept_seconds=kept_seconds, locked=bare != address)
    known = {(each.address, each.prefix): each for each in places(lake)}
    if known.get((bare, prefix)) != place:
        known[bare, prefix] = place
        write_json(_path(lake), [each.model_dump(mode="json") for each in known.values()])


def stores(lake: Lake, given: str | None) -> list[RedisReleases]:
    """One for each place; nothing is sent yet. `given` is an address as in `publish --redis`, with its password.

    ConfigError where a place needs a password and `given` is not its address.
    """
    return [RedisReleases(_address(lake, place, given), place.prefix, place.kept_seconds) for place in places(lake)]


def check_reached(found: list[RedisReleases]) -> None:
    """DependencyUnreachable where one of them is away, ConfigError where it refuses the password."""
    for store in found:
        store.current()


def removed(found: list[RedisReleases], names: tuple[str, ...]) -> int:
    """How many lists of the user were in Redis, of all releases. None is afterwards."""
    return sum(store.remove_user(names) for store in found)


def switch(lake: Lake, release: Release, found: list[RedisReleases]) -> list[dict[str, Any]]:
    """Readers of each place see the release. A place where they cannot is told by its `error`; the others are switched."""
    return [_switched(lake, release, store) for store in found]


def refuse_unswitched(answers: list[dict[str, Any]]) -> None:
    """DependencyUnreachable where a place was not switched."""
    if behind := [answer for answer in answers if answer["error"]]:
        raise DependencyUnreachable(
            f"{behind[0]['address']} still shows the lists before: {behind[0]['error']}",
            "the lake itself has gone back; give `nightrank publish` when Redis answers",
        )


def _switched(lake: Lake, release: Release, store: RedisReleases) -> dict[str, Any]:
    place, began = {"address": store.address, "prefix": store.prefix}, time.monotonic()
    try:
        answer = store.publish(lake, release)
    except NightrankError as fault:
        return {**place, "error": fault.message, "written": False, "replaced": None, "seconds": None}
    took = round(time.monotonic() - began, 3)
    return {**place, "error": None, "written": answer["written"], "replaced": answer["replaced"], "seconds": took}


def _address(lake: Lake, place: Place, given: str | None) -> str:
    if given and without_credentials(given) == place.address:
        return given
    if place.locked:
        raise ConfigError(
            f"lists of this lake are in {place.address}, which needs a password that the lake does not keep",
            f"give --redis or NIGHTRANK_REDIS; where that Redis is no more, take it out of {_path(lake)}. Nothing was changed",
        )
    return place.address


def _path(lake: Lake) -> Location:
    return lake.root / NAME
