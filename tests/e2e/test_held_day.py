"""A broken day through the real pipeline: its night is held, the next goes without it, and once accepted it is folded in."""

import shutil
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.tables import CATALOGUE, EVENTS
from tests.commands import nightrank
from tests.e2e.conftest import ReadyLake
from tests.e2e.test_pipeline import SCHEMA
from tests.landed_days import labels_shuffled

pytestmark = [pytest.mark.e2e, pytest.mark.night, pytest.mark.timeout(1200)]
CONFIG = ("--config", "tiny", "--set", "trainer.launcher=one_process")


def test_a_held_day_is_gone_without_and_folded_in_once_accepted(tmp_path: Path, after_full: ReadyLake) -> None:
    lake = after_full.copy(tmp_path)
    broken, after, last = after_full.days[-3:]
    break_day(lake, broken)
    never_held = Lake(lake.root.parent / "never-held")
    shutil.copytree((lake.root / "landing").path, (never_held.root / "landing").path)

    before = versions(lake)
    held = night(lake, broken, 7)
    assert (held["status"], held["error"]["code"], versions(lake)) == ("held", "held", before)
    assert "another event of the user on the same item" in held["error"]["message"]
    assert night(lake, broken, 7)["status"] == "held" and versions(lake) == before
    assert "held back" in (lake.root / held["report"]).read_text()
    assert nightrank(lake, "verify", "--run", held["run_id"])["failed"] == []

    without = night(lake, after, 0, 7)
    assert without["guards"]["without"] == [str(broken)] and landed(lake, broken) == 0 < landed(lake, after)
    assert nightrank(lake, "nightly", "--accept", str(broken))["status"] == "accepted"

    folding = night(lake, last, 0, 7)
    # With a champion of before the held day, the day is one of those that the night takes in anyway.
    promoted = without["gate"]["decision"] == "promoted"
    assert (folding["guards"]["folded"], folding["guards"]["without"]) == ([str(broken)] if promoted else [], [])
    assert nightrank(lake, "verify", "--run", folding["run_id"])["failed"] == []
    assert labels_of(lake, folding, broken) > 2 * labels_of(lake, without, broken), "its events are labels of this training"
    taken_in = [broken, last] if promoted else [broken, after, last]
    assert folding["counts"]["events"] == sum(landed(lake, day) for day in taken_in)

    for part in (("open", *CONFIG), ("stage", "check_day", "ingest_events"), ("close",)):
        nightrank(never_held, "run", part[0], *part[1:], "--kind", "full", "--date", str(last))
    assert happened(lake).equals(happened(never_held)), "nothing is lost and nothing doubled"


def night(lake: Lake, day: date, *codes: int) -> dict[str, Any]:
    result = nightrank(lake, "nightly", "--date", str(day), *CONFIG, expect=codes)
    jsonschema.validate(result, SCHEMA)
    return result


def break_day(lake: Lake, day: date) -> None:
    """Its items are mixed up between its events."""
    (path,) = lake.landing_day("events", day).glob("*.parquet")
    table = pq.read_table(path.path)
    pq.write_table(labels_shuffled(table, np.random.default_rng(1)), path.path)


def versions(lake: Lake) -> dict[str, int | None]:
    return {name: delta_read.table_version(lake, name) for name in CATALOGUE}


def events(lake: Lake) -> pa.Table:
    """The table, in order of event ids."""
    stored = delta_read.newest(lake, EVENTS.name)
    assert stored is not None
    rows = delta_read.dataset(lake, EVENTS.name, delta_read.file_paths(stored), EVENTS.schema).to_table()
    return rows.select(EVENTS.content_columns).sort_by(c.EVENT_ID).combine_chunks()


def labels_of(lake: Lake, night: dict[str, Any], day: date) -> int:
    """Training rows of the night whose first label is of the day (UTC)."""
    snapshot = load_snapshot(lake.snapshot(night["snapshot"]["id"]))
    rows = chain.from_iterable(
        pq.read_table((lake.table(part.table) / file.path).path).to_pylist()
        for part in [snapshot.parts["train"]]
        for file in part.files
    )
    first = (datetime.fromtimestamp(row["times"][row["loss_from"]] / 1e6, UTC).date() for row in rows if row["source"] == "day")
    return sum(found == day for found in first)


def happened(lake: Lake) -> pa.Table:
    """Without what depends on the day on which an event that landed on several was stored first: items of one are mixed up."""
    return events(lake).drop_columns([c.LANDING_DATE, c.AVAILABILITY_TIME, c.ITEM_ID])


def landed(lake: Lake, day: date) -> int:
    """Events in the table that landed on the day."""
    return events(lake).filter(pc.field(c.LANDING_DATE) == day).num_rows
