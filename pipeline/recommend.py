"""`nightrank recommend`: one user's list of the current release, with titles. No JVM."""

import hmac
from typing import Any

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


def recommendations(lake: Lake, user: str, files: list[str], overrides: list[str]) -> dict[str, Any]:
    """The list with its release and model. UsageError where the user has none; the message does not repeat the id."""
    release, rows = list_of(lake, user, files, overrides)
    titles = titles_of(lake, [row[c.ITEM_ID] for row in rows])
    fields = (c.RANK, c.ITEM_ID, c.SCORE, c.FALLBACK)
    return {
        "user": user,
        "release_id": release.release_id,
        "run_id": release.run_id,
        "date": release.date,
        "model": {"name": release.model_name, "version": release.model_version},
        "items": [{**{name: row[name] for name in fields}, "title": titles.get(row[c.ITEM_ID])} for row in rows],
    }


def list_of(lake: Lake, user: str, files: list[str], overrides: list[str]) -> tuple[Release, list[dict[str, Any]]]:
    """The current release and the user's rows in it, best first. UsageError where nothing is released or the user has none; the
    message does not repeat the id."""
    release = delta_read.latest_release(lake)
    if release is None:
        raise UsageError(f"nothing is released on {lake.root} yet", "run `nightrank full` first")
    _, rows = delta_read.recommendations_for(lake, _known_as(lake, release, user, files, overrides), release)
    if not rows:
        raise UsageError(
            f"this user has no list in release {release.release_id}", "check the id; a new user has one after the next night"
        )
    return release, rows


def titles_of(lake: Lake, item_ids: list[str]) -> dict[str, str]:
    """Title by item id, of those that have one."""
    table = delta_read.newest(lake, ITEMS.name)
    if table is None or not item_ids:
        return {}
    items = delta_read.dataset(lake, ITEMS.name, delta_read.file_paths(table), ITEMS.schema)
    rows = items.to_table(columns=[c.ITEM_ID, c.TITLE], filter=ds.field(c.ITEM_ID).isin(item_ids)).to_pylist()
    return {row[c.ITEM_ID]: row[c.TITLE] for row in rows if row[c.TITLE]}


def _known_as(lake: Lake, release: Release, user: str, files: list[str], overrides: list[str]) -> str:
    """The id under which the lake knows the user: itself, or its keyed hash where ingest replaced ids."""
    from nightrank.pipeline.config import configured
    from nightrank.spark_jobs.ingest.user_key import user_key

    config = configured(files, overrides) if files or overrides else _of_run(lake, release)
    key = user_key(config.section("ids", IdSettings), lake)
    return user if key is None else hmac.new(key, user.encode(), "sha256").hexdigest()


def _of_run(lake: Lake, release: Release) -> Configuration:
    run = lake.run_dir(release.run_id) / "run.json"
    return Configuration.from_run(read_json(run)["config"] if run.exists() else {})
