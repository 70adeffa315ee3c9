"""`nightrank recommend`: lists of the current release, with titles, and what its model lists for others. No JVM."""

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.settings import IdSettings
from nightrank.feature_store.contracts.tables import ITEMS
from nightrank.pipeline.anonymous import anonymous_list

DEFAULT_K: Final = 10


def recommendations(lake: Lake, user: str, files: list[str], overrides: list[str], k: int = DEFAULT_K) -> dict[str, Any]:
    """The list with its release and model. A user without a list gets the `k` most popular items, and `known` is false.

    UsageError where nothing is released.
    """
    return recommendations_of(lake, [user], files, overrides, k)[0]


def recommendations_of(
    lake: Lake, users: Sequence[str], files: list[str], overrides: list[str], k: int = DEFAULT_K
) -> list[dict[str, Any]]:
    """As `recommendations`, of several users in their order: release, lists and titles are opened once."""
    release = current(lake)
    lists = _lists(lake, release, users, files, overrides)
    popular = [] if all(lists.values()) else anonymous_list(lake, release, [], k)
    titles = titles_of(lake, {row[c.ITEM_ID] for rows in (*lists.values(), popular) for row in rows})
    return [{"user": user, "known": bool(lists[user]), **_answer(release, lists[user] or popular, titles)} for user in users]


def of_session(lake: Lake, history: Sequence[str], k: int = DEFAULT_K) -> dict[str, Any]:
    """What the released model lists for items that somebody looked at, oldest first. UsageError where nothing is released."""
    release = current(lake)
    rows = anonymous_list(lake, release, history, k)
    return {"history": list(history), **_answer(release, rows, titles_of(lake, {row[c.ITEM_ID] for row in rows}))}


def current(lake: Lake) -> Release:
    """The current release. UsageError before the first."""
    release = delta_read.latest_release(lake)
    if release is None:
        raise UsageError(f"nothing is released on {lake.root} yet", "run `nightrank full` first")
    return release


def list_of(lake: Lake, user: str, files: list[str], overrides: list[str]) -> tuple[Release, list[dict[str, Any]]]:
    """The current release and the user's rows in it, best first. UsageError where nothing is released or the user has none; the
    message does not repeat the id."""
    release = current(lake)
    rows = _lists(lake, release, [user], files, overrides)[user]
    if not rows:
        raise UsageError(
            f"this user has no list in release {release.release_id}", "check the id; a new user has one after the next night"
        )
    return release, rows


def _lists(
    lake: Lake, release: Release, users: Sequence[str], files: list[str], overrides: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Each user's rows in the release, best first; none where it has no list of the user."""
    known_as = _known_as(lake, release, users, files, overrides)
    found = delta_read.lists_for(lake, list(known_as.values()), release)
    return {user: found[known_as[user]] for user in users}


def _answer(release: Release, rows: list[dict[str, Any]], titles: Mapping[str, str]) -> dict[str, Any]:
    fields = (c.RANK, c.ITEM_ID, c.SCORE, c.FALLBACK)
    return {
        "release_id": release.release_id,
        "run_id": release.run_id,
        "date": release.date,
        "model": {"name": release.model_name, "version": release.model_version},
        "items": [{**{name: row[name] for name in fields}, "title": titles.get(row[c.ITEM_ID])} for row in rows],
    }


def titles_of(lake: Lake, item_ids: Collection[str] | None = None) -> dict[str, str]:
    """Title by item id, of those that have one; of all items where none are named."""
    table = delta_read.newest(lake, ITEMS.name)
    if table is None or (item_ids is not None and not item_ids):
        return {}
    items = delta_read.dataset(lake, ITEMS.name, delta_read.file_paths(table), ITEMS.schema)
    named = None if item_ids is None else ds.field(c.ITEM_ID).isin(list(item_ids))
    rows = items.to_table(columns=[c.ITEM_ID, c.TITLE], filter=named).to_pylist()
    return {row[c.ITEM_ID]: row[c.TITLE] for row in rows if row[c.TITLE]}


def _known_as(lake: Lake, release: Release, users: Sequence[str], files: list[str], overrides: list[str]) -> dict[str, str]:
    """The id under which the lake knows each user: itself, or its keyed hash where ingest replaced ids."""
    known_as = id_of(lake, release, files, overrides)
    return {user: known_as(user) for user in users}


def id_of(lake: Lake, release: Release, files: list[str], overrides: list[str]) -> Callable[[str], str]:
    """From a user's id to the one under which the lake knows the user."""
    from nightrank.pipeline.config import configured
    from nightrank.spark_jobs.ingest.user_key import user_key

    config = configured(files, overrides) if files or overrides else _of_run(lake, release)
    key = user_key(config.section("ids", IdSettings), lake)
    return lambda user: user if key is None else hmac.new(key, user.encode(), "sha256").hexdigest()


def _of_run(lake: Lake, release: Release) -> Configuration:
    run = lake.run_dir(release.run_id) / "run.json"
    return Configuration.from_run(read_json(run)["config"] if run.exists() else {})
