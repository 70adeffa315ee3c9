"""`nightrank erase`: a user is in no file of the lake any more, under the lake's lease, and in no Redis that has its lists."""

import hmac
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from nightrank.feature_store import delta_read, live_runs
from nightrank.feature_store.contracts import erasures
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import NothingToDo, SafetyRefusal
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lease import Lease, held
from nightrank.feature_store.contracts.settings import IdSettings
from nightrank.feature_store.erasure.rewrite import Plan, carry_out, planned
from nightrank.feature_store.erasure.user import ErasedUser, decimal, dense_id
from nightrank.feature_store.erasure.words import pattern_of, replaced
from nightrank.pipeline import outside
from nightrank.pipeline.lists import published
from nightrank.pipeline.lists.redis_release import RedisReleases
from nightrank.pipeline.outside import Outside
from nightrank.spark_jobs.ingest.user_key import erasure_key, user_key

Told = Callable[[str], None]


def erase(
    lake: Lake,
    ids: Sequence[str],
    config: Configuration,
    *,
    redis: str | None = None,
    dry_run: bool = False,
    progress: Told = lambda _: None,
) -> dict[str, Any]:
    """What was rewritten for each user, in their order and without their ids; with `dry_run` what would be.

    `published_lists` of an answer: how many were removed from Redis; `redis` is its address where that needs a password.
    `outside`: what else was written from the lake, in a remote MLflow, exports and event logs.
    NothingToDo (3) where nothing holds any of them. ConflictError while a run works on the lake. DependencyUnreachable where a
    Redis or the remote MLflow is away; nothing is erased then.
    """
    stores = published.stores(lake, redis)
    users = [user_of(lake, each, config) for each in dict.fromkeys(ids)]
    if dry_run:
        answers = [_planned(lake, planned(lake, user), outside.sought(lake, user, config, "search")) for user in users]
    else:
        with held(lake, f"erase-{datetime.now(UTC):%Y-%m-%dT%H%M%S}") as lease:
            _refuse_searches(lake)
            published.check_reached(stores)
            outside.check_reached(lake, config)
            with lease.commit():
                erasures.remember_key(lake, _key(lake, config))
            answers = [_erased(lake, user, lease, progress, f"{place} of {len(users)}") for place, user in enumerate(users, 1)]
            # Last: a list that is published while files are rewritten is either removed here or refused by its publisher.
            answers = [_unpublished(answer, user, stores) for answer, user in zip(answers, users, strict=True)]
            answers = [_outside(lake, answer, user, config, lease) for answer, user in zip(answers, users, strict=True)]
    if all(answer["status"] == "nothing" for answer in answers):
        raise NothingToDo(
            f"nothing in {lake.root}, or written from it, holds {'this user' if len(users) == 1 else 'any of these users'}",
            "check the id and --root",
        )
    return {"status": "planned" if dry_run else "done", "exit_code": 0, "users": answers, "notes": _notes(lake, answers)}


def user_of(lake: Lake, user_id: str, config: Configuration) -> ErasedUser:
    """The user as the lake knows him. ConfigError without a key."""
    integer = lake.landing_meta().get("id_type") == "int64"
    key, raw = _key(lake, config), decimal(user_id.strip(), integer=integer)
    hashing = user_key(config.section("ids", IdSettings), lake)
    hashed = () if hashing is None else (hmac.new(hashing, raw.encode(), "sha256").hexdigest(),)
    user = ErasedUser((raw, *hashed), erasures.marker_of(key, raw), integer)
    return ErasedUser(user.names, user.marker, integer, dense_id(lake, user))


def _key(lake: Lake, config: Configuration) -> bytes:
    return erasure_key(config.section("ids", IdSettings), lake)


def _erased(lake: Lake, user: ErasedUser, lease: Lease, progress: Told, which: str) -> dict[str, Any]:
    progress(f"user {which}: reading every file of the lake")
    plan = planned(lake, user)
    if plan.nothing:
        return {"user": user.marker, "status": "nothing"}
    progress(f"user {which}: rewriting {len(plan.hits)} files")
    versions = {folder.name: delta_read.table_version(lake, folder.name) or 0 for folder in lake.root.glob("tables/*")}
    receipt = carry_out(lake, plan, lease.commit, versions)
    path = erasures.receipt_path(lake, user.marker).below(lake.root)
    return {
        "status": "erased",
        "receipt": path,
        **receipt.model_dump(include={"user", "rows", "files", "snapshots", "trained"}),
    }


def _unpublished(answer: dict[str, Any], user: ErasedUser, stores: list[RedisReleases]) -> dict[str, Any]:
    lists = published.removed(stores, user.names)
    status = "erased" if lists else answer["status"]
    return {**answer, "status": status, "published_lists": lists}


def _outside(lake: Lake, answer: dict[str, Any], user: ErasedUser, config: Configuration, lease: Lease) -> dict[str, Any]:
    """The receipt says what was found outside the lake, and what is left there."""
    places = outside.sought(lake, user, config, "erase")
    receipt = erasures.receipt_of(lake, user.marker)
    if receipt is None and any(place.found for place in places):
        at = datetime.now(UTC).isoformat(timespec="seconds")
        receipt = erasures.Receipt(user=user.marker, status="done", begun=at, ended=at)
    if receipt is not None and places:
        counts = Counter(receipt.outside) + Counter({place.name: place.rewritten for place in places})
        # What a parameter or an address says may hold the id itself: a receipt names none.
        left = tuple(
            replaced(each.encode(), pattern_of(user), user.marker)[0].decode() for place in places for each in place.left
        )
        with lease.commit():
            erasures.save_receipt(lake, receipt.model_copy(update={"outside": dict(counts), "left": left}))
    return {**answer, "status": _status(answer, places), "outside": _told(places)}


def _status(answer: dict[str, Any], places: list[Outside]) -> str:
    return "erased" if any(place.found for place in places) else str(answer["status"])


def _told(places: list[Outside]) -> list[dict[str, Any]]:
    return [place.model_dump(mode="json") for place in places]


def _planned(lake: Lake, plan: Plan, places: list[Outside]) -> dict[str, Any]:
    rows, files = plan.counts(lake)
    nothing = plan.nothing and not any(place.found for place in places)
    status = "nothing" if nothing else "would_erase"
    return {"user": plan.user.marker, "status": status, "rows": rows, "files": files, "outside": _told(places)}


def _refuse_searches(lake: Lake) -> None:
    if next(iter(live_runs.searches(lake)), None) is not None:
        raise SafetyRefusal(
            "a search (`nightrank tune`) is under way and reads files that would be rewritten", "end it, then give this again"
        )


def _notes(lake: Lake, answers: Sequence[dict[str, Any]]) -> list[str]:
    places = [place for answer in answers for place in answer["outside"]]
    left = [each for place in places for each in place["left"]]
    found = [f"still named in {each}" for each in dict.fromkeys(left)]
    found += [f"not searched: {each}" for each in dict.fromkeys(each for place in places for each in place["unread"])]
    if trained := erasures.trained_on_erased(lake):
        found.append(f"the live model has learnt from {trained} erased users; the next full run leaves them out")
    return found
