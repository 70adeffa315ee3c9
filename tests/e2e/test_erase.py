"""A user of a tiny market is erased after a full run and a night: nothing of him is left, all else is whole, nights go on."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.erasures import PREFIX
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.lake import Lake
from tests.commands import nightrank
from tests.e2e.conftest import CONFIG, ReadyLake
from tests.e2e.test_pipeline import SCHEMA

pytestmark = [pytest.mark.e2e, pytest.mark.night, pytest.mark.timeout(1500)]
NAMED_BY = {"events": "user_id", "users": "user_id", "recommendations": "user_id", "ctr_scores": "user_id"}
NUMBERED = ("interactions", "user_features", "examples_train", "examples_refit", "examples_test", "impressions_train")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, after_night: ReadyLake) -> Lake:
    return after_night.copy(tmp_path_factory.mktemp("erase"))


@pytest.fixture(scope="module")
def keyed(lake: Lake) -> tuple[str, ...]:
    key = lake.root.path.parent / "key"
    key.write_text("a key of more than sixteen bytes")
    return (*CONFIG, "--set", f"ids.key_file={key}")


@pytest.fixture(scope="module")
def days(after_night: ReadyLake) -> list[date]:
    return after_night.days[:-1]


@pytest.fixture(scope="module")
def user(lake: Lake, days: list[date]) -> str:
    """The one with most events on the day after the night, and some before; he is named in the report where one is."""
    landed = ds.dataset(str(lake.landing("events")), format="parquet", partitioning="hive").to_table(columns=["user_id", "day"])
    rows = [row for row in landed.to_pylist() if row["user_id"]]
    before = {row["user_id"] for row in rows if str(row["day"]) <= str(days[-3])}
    later = Counter(row["user_id"] for row in rows if str(row["day"]) == str(days[-1]) and row["user_id"] in before)
    return str(later.most_common(1)[0][0])


def stored(lake: Lake, name: str) -> list[dict[str, Any]]:
    if delta_read.table_version(lake, name) is None:
        return []
    rows: list[dict[str, Any]] = DeltaTable(str(lake.table(name))).to_pyarrow_table().to_pylist()
    return rows


def by_others(lake: Lake, user: str, number: int) -> dict[str, str]:
    """table -> the content hash of the rows of everybody else, at the newest version."""
    found = {}
    for name in (*NAMED_BY, *NUMBERED):
        column, own = (NAMED_BY[name], user) if name in NAMED_BY else ("user", number)
        found[name] = sha256_of(sorted(repr(row) for row in stored(lake, name) if row[column] != own))
    return found


def number_of(lake: Lake, raw_id: str) -> int:
    rows = stored(lake, "vocabulary")
    return next(row["dense_id"] for row in rows if row["kind"] == "user" and row["raw_id"] == raw_id)


def left(lake: Lake, user: str, number: int) -> list[str]:
    """Tables that hold the user at their newest version, by a reader of its own."""
    held = []
    for name in (*NAMED_BY, *NUMBERED):
        column, own = (NAMED_BY[name], user) if name in NAMED_BY else ("user", number)
        held += [name for row in stored(lake, name) if row[column] == own]
    return held


def test_an_erased_user_is_gone_others_are_whole_and_nights_go_on(
    lake: Lake, after_night: ReadyLake, user: str, days: list[date], keyed: tuple[str, ...]
) -> None:
    number, releases = number_of(lake, user), delta_read.releases(lake)
    before = by_others(lake, user, number)
    assert {"events", "recommendations", "interactions"} <= set(left(lake, user, number))
    found = nightrank(lake, "verify", "--erased", user, *keyed, expect=4)["found"]
    assert {"tables", "landing"} <= {hit["path"].split("/")[0] for hit in found}

    planned = nightrank(lake, "erase", "--user", user, *keyed, "--dry-run")
    assert planned["users"][0]["rows"]["tables/events"] > 0
    done = nightrank(lake, "erase", "--user", user, *keyed)
    assert done["users"][0]["rows"] == planned["users"][0]["rows"]

    assert nightrank(lake, "verify", "--erased", user, *keyed)["found"] == []
    assert left(lake, user, number) == []
    assert by_others(lake, user, number) == before
    for run in after_night.results:
        assert nightrank(lake, "verify", "--run", run["run_id"])["failed"] == []
    assert delta_read.releases(lake) == releases
    nightrank(lake, "erase", "--user", user, *keyed, expect=3)
    assert nightrank(lake, "nightly", "--date", str(days[-2]), *keyed)["status"] == "already_done"

    back = restore_landing_of(lake, user, days[-1])
    night: dict[str, Any] = nightrank(lake, "nightly", "--date", str(days[-1]), *keyed, expect=(0, 7))
    jsonschema.validate(night, SCHEMA)
    counts = night["ingest"]
    assert counts["erased"] == back > 0
    assert counts["landed"] == counts["events"] + counts["duplicates"] + counts["quarantined"] + counts["erased"]
    assert night["trained_on_erased"] == 1
    assert nightrank(lake, "verify")["failed"] == []
    assert left(lake, user, number) == []
    assert not [row for row in stored(lake, "recommendations") if row["user_id"].startswith(PREFIX)]
    held = nightrank(lake, "verify", "--erased", user, *keyed, expect=4)["found"]
    assert {hit["path"].split("/")[0] for hit in held} == {"landing"}


def restore_landing_of(lake: Lake, user: str, day: date) -> int:
    """A later export still has the user: one more file of that day with two of his events. How many there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder: Path = lake.landing_day("events", day).path
    rows = pq.ParquetFile(sorted(folder.glob("*.parquet"))[0]).read().slice(0, 2)
    column = rows.column_names.index("user_id")
    named = rows.set_column(column, rows.schema.field(column), pa.array([user] * rows.num_rows, pa.string()))
    pq.write_table(named, folder / "part-later.parquet")
    return int(named.num_rows)
