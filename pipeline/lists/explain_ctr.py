"""`nightrank explain --clicks`: what each input of the click ranker adds to its probability for a user and an item. No JVM.

The row is what stage score_ctr gives the ranker: as of the end of the release's date, without what only the moment would tell.
"""

import json
import math
from datetime import date, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.impression_settings import ATTRIBUTE_PREFIX, ImpressionSettings
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.settings import CalendarSettings
from nightrank.feature_store.contracts.snapshot import Impressions, load_snapshot
from nightrank.feature_store.contracts.storage import local_folder
from nightrank.feature_store.contracts.tables import CLICK_SCORES, ITEMS, USER_ATTRIBUTES, TableRef
from nightrank.feature_store.days import day_start
from nightrank.pipeline.child import answered
from nightrank.pipeline.lists.explain import history_of
from nightrank.pipeline.recommend import current, id_of, titles_of

PROGRAM: Final = "nightrank.ranker.ctr.explained"
NAMED: Final = 2


def explain_ctr(lake: Lake, user: str, item: str, action: str | None, files: list[str], overrides: list[str]) -> dict[str, Any]:
    """`probability`, `base` and `inputs` {input, value, adds}, the largest first, which add up to it; `released`: what the
    newest run gave the pair, None where it is in no list. UsageError without a click ranker, or for an unknown user."""
    path = lake.root / CTR_MODEL
    if not path.exists():
        raise UsageError(f"{lake.root} has no click ranker", "a run with impressions.enabled trains one")
    ref, release = load_model_ref(path), current(lake)
    known_as = id_of(lake, release, files, overrides)(user)
    row = _row(lake, release, _spec(lake, ref), known_as, item)
    folder = str(local_folder(lake.root / ref.bundle))
    request = {"folder": folder, "manifest": ref.manifest_sha256, "row": row, "action": action}
    answer = answered(PROGRAM, json.dumps(request), "the probability was not explained")
    inputs = [{"input": name, "value": _shown(value), "adds": adds} for name, value, adds in answer["inputs"]]
    title = titles_of(lake, [item]).get(item)
    return {
        "user": user,
        "item": item,
        "title": title,
        "model": {"name": ref.name, "version": ref.version},
        **{name: answer[name] for name in ("action", "probability", "base")},
        "released": _released(lake, ref, known_as, item, answer["action"]),
        "sentence": _sentence(title or item, answer["action"], answer["probability"], inputs),
        "inputs": inputs,
    }


def _spec(lake: Lake, ref: ModelRef) -> Impressions:
    spec = load_snapshot(lake.snapshot(ref.snapshot_id)).impressions
    assert spec is not None  # no click ranker is trained without
    return spec


def _row(lake: Lake, release: Release, spec: Impressions, user: str, item: str) -> dict[str, Any]:
    """Inputs by name. What is counted of events (`user_count_7d`) the bundle looks up itself."""
    config = Configuration.from_run(read_json(lake.run_dir(release.run_id) / "run.json")["config"])
    timezone = config.section("calendar", CalendarSettings).timezone
    serving = config.section("impressions", ImpressionSettings).serving
    end = day_start(date.fromisoformat(release.date) + timedelta(days=1), timezone)
    events = history_of(lake, release, user, spec.history_actions)[0]
    about = next(iter(_rows(lake, ITEMS, c.ITEM_ID, item)), {})
    price = about.get(c.PRICE)
    inputs: dict[str, Any] = {
        "user": user,
        "item": item,
        "category": next(iter(about.get(c.CATEGORIES) or ()), None),
        "log_price": None if price is None else math.log1p(price),
        "log_history": math.log1p(len(events)),
        **_attributes(lake, release, user, end),
        **{name: value for name, value in serving.items() if name in spec.fields},
        "history": events[-spec.history_length :] if spec.history_length else [],
        "event_time": end,
    }
    return inputs


def _attributes(lake: Lake, release: Release, user: str, end: int) -> dict[str, str]:
    mine = delta_read.raw_ids(lake, release.vocabulary_version, "user", c.RAW_ID, [user])
    rows = [row for each in mine for row in _rows(lake, USER_ATTRIBUTES, c.USER, each)]
    known = [row for row in rows if row[c.KNOWN_FROM] is not None and row[c.KNOWN_FROM] < end]
    return {f"{ATTRIBUTE_PREFIX}{key}": value for row in known for key, value in row[c.ATTRIBUTES] or ()}


def _rows(lake: Lake, table: TableRef, key: str, value: Any) -> list[dict[str, Any]]:
    """Of the newest version; none where the lake lacks the table."""
    newest = delta_read.newest(lake, table.name)
    if newest is None:
        return []
    stored = delta_read.dataset(lake, table.name, delta_read.file_paths(newest), table.schema)
    found: list[dict[str, Any]] = stored.to_table(
        filter=ds.field(key) == pa.scalar(value, table.schema.field(key).type)
    ).to_pylist()
    return found


def _released(lake: Lake, ref: ModelRef, user: str, item: str, action: str) -> float | None:
    rows = _rows(lake, CLICK_SCORES, c.USER_ID, user)
    mine = [row for row in rows if row[c.ITEM_ID] == item and row[c.MANIFEST_SHA256] == ref.manifest_sha256]
    return dict(mine[0][c.SCORES]).get(action) if mine else None


def _shown(value: Any) -> Any:
    return f"{len(value)} events" if isinstance(value, list) else value


def _sentence(title: str, action: str, probability: float, inputs: list[dict[str, Any]]) -> str:
    named = [f"{row['input']} ({row['value']})" for row in inputs if row["adds"] > 0 and row["value"] is not None][:NAMED]
    because = f", most of it by {' and '.join(named)}" if named else ""
    return f"{action} of “{title}”: {probability:.1%}{because}."
