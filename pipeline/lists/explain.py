"""`nightrank explain`: which items of a user's history moved the score of an item most, by the released model. No JVM."""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.settings import CalendarSettings, TrainingSetSettings
from nightrank.feature_store.contracts.storage import local_folder
from nightrank.feature_store.contracts.tables import INTERACTIONS
from nightrank.feature_store.days import day_start
from nightrank.feature_store.training_rows import History, collapse
from nightrank.pipeline.child import answered
from nightrank.pipeline.recommend import current, id_of, titles_of

PROGRAM: Final = "nightrank.ranker.bundle.explained"
NAMED: Final = 2
"""Items of the history that the sentence names."""
LEAST: Final = 0.01
"""An item is named if the score loses this share of itself without it."""


def explain(lake: Lake, user: str, item: str, files: list[str], overrides: list[str]) -> dict[str, Any]:
    """`score`, `effects` of each history item, and a `sentence` that names the two that moved the score most.

    UsageError where the user is unknown or has no history that the model can read, or the item is unknown.
    """
    release = current(lake)
    history = history_of(lake, release, id_of(lake, release, files, overrides)(user))
    answer = _answered(lake, release, history, item)
    titles = titles_of(lake, {item, *(name for name, _ in answer["effects"])})
    effects = [{c.ITEM_ID: name, "title": titles.get(name), "effect": drop} for name, drop in answer["effects"]]
    return {
        "user": user,
        "item": item,
        "title": titles.get(item),
        "release_id": release.release_id,
        "score": answer["score"],
        "sentence": sentence(titles.get(item) or item, answer["score"], effects),
        "effects": effects,
    }


def sentence(title: str, score: float, effects: list[dict[str, Any]]) -> str:
    """Names the items whose removal lowers the score by a hundredth at least, two at most."""
    named = [f"“{row['title'] or row[c.ITEM_ID]}”" for row in effects[:NAMED] if row["effect"] > LEAST * abs(score)]
    if not named:
        return f"“{title}” is recommended for the history as a whole: no single item of it raises its score."
    return f"“{title}” is recommended because of {' and '.join(named)}."


def history_of(
    lake: Lake, release: Release, user_id: str, of_actions: Sequence[str] | None = None
) -> tuple[list[str], list[int], list[str]]:
    """(items, times, actions), oldest first, as the release's lists were made from them; with `of_actions` every event of
    these, repeats too. UsageError for an unknown user."""
    user = next(iter(delta_read.raw_ids(lake, release.vocabulary_version, "user", c.RAW_ID, [user_id])), None)
    if user is None:
        raise UsageError("this user is not known to the release", "check the id; a new user is known after the next night")
    config = Configuration.from_run(read_json(lake.run_dir(release.run_id) / "run.json")["config"])
    settings, calendar = config.section("training_set", TrainingSetSettings), config.section("calendar", CalendarSettings)
    end = day_start(date.fromisoformat(release.date) + timedelta(days=1), calendar.timezone)
    codes = [ACTION_CODES[name] for name in of_actions or settings.history_actions]
    rows = (ds.field(c.USER) == user) & ds.field(c.ACTION).isin(codes)
    known = (ds.field(c.EVENT_TIME) < end) & (ds.field(c.AVAILABILITY_TIME) < end)
    stored = delta_read.stored(lake, INTERACTIONS, release.data_version)
    found = stored.to_table(columns=[c.ITEM, c.ACTION, c.EVENT_TIME, c.EVENT_ID], filter=rows & known)
    history = _history(found.sort_by([(c.EVENT_TIME, "ascending"), (c.EVENT_ID, "ascending")]))
    history = collapse(history) if settings.collapse_repeats and of_actions is None else history
    items = history.items.tolist()
    raw = delta_read.raw_ids(lake, release.vocabulary_version, "item", c.DENSE_ID, items)
    names = {code: name for name, code in ACTION_CODES.items()}
    return [raw[item] for item in items], history.times.tolist(), [names[code] for code in history.actions.tolist()]


def _history(rows: pa.Table) -> History:
    items, actions, times = (rows.column(name).to_numpy() for name in (c.ITEM, c.ACTION, c.EVENT_TIME))
    no = np.zeros(len(items), dtype=bool)
    return History(items, actions, times, times, no, no)


def _answered(lake: Lake, release: Release, history: tuple[list[str], list[int], list[str]], item: str) -> dict[str, Any]:
    """By a process of its own, which imports torch."""
    folder = str(local_folder(lake.bundles / release.manifest_sha256))
    request = {"folder": folder, "manifest": release.manifest_sha256, "history": history, "item": item}
    return answered(PROGRAM, json.dumps(request), "the score was not explained")
