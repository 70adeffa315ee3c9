"""Reading the lake without a JVM, on tables that deltalake itself writes."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release

DAY = date(2024, 3, 10)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def write(lake, name, schema, rows):
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    path = lake.table(name)
    path.parent.mkdir()
    write_deltalake(str(path), pa.table(columns, schema=schema), mode="append")


def released(lake, release_id, fence, version=0, hour=0):
    release = Release(
        release_id=release_id, run_id="r", date=str(DAY), model_name="m", model_version=1, manifest_sha256="x",
        vocabulary_version=0, data_version=0, recommendations_version=version, snapshot_id="s", fence=fence, users=1, rows=1,
        fallback={}, lists_sha256="h",
    )  # fmt: skip
    row = {"fence": fence, "body": release.model_dump_json(), "created_at": datetime(2024, 3, 10, hour, tzinfo=UTC)}
    write(lake, "releases", schemas.RELEASES, [row])


def listed(lake, users, release_id="r1"):
    rows = [
        {"user_id": user, "item_id": f"{user}-{rank}", "rank": rank, "score": 1.0 / rank, "release_id": release_id}
        for user in users
        for rank in (2, 1)
    ]
    write(lake, "recommendations", schemas.RECOMMENDATIONS, rows)


def test_the_newest_release_of_the_highest_fence_is_current(lake):
    assert delta_read.latest_release(lake) is None and delta_read.table_version(lake, "releases") is None
    released(lake, "old", fence=1, hour=1)
    released(lake, "new", fence=2, hour=2)
    released(lake, "rolled back", fence=2, hour=3)
    released(lake, "late and superseded", fence=1, hour=4)
    assert [made.release_id for made in delta_read.releases(lake)] == ["old", "late and superseded", "new", "rolled back"]
    latest = delta_read.latest_release(lake)
    assert latest is not None and latest.release_id == "rolled back"


def test_a_users_list_at_the_released_version_from_the_files_that_may_hold_it(lake, monkeypatch):
    listed(lake, ["a", "b"])
    listed(lake, ["m" * 40, "n"])
    released(lake, "r1", fence=1, version=1)
    listed(lake, ["b"], "later")
    opened = []
    original = delta_read.dataset
    monkeypatch.setattr(
        delta_read,
        "dataset",
        lambda lake, name, paths, schema: opened.append((name, len(paths))) or original(lake, name, paths, schema),
    )
    release, rows = delta_read.recommendations_for(lake, "b")
    assert release.release_id == "r1" and [row["item_id"] for row in rows] == ["b-1", "b-2"]
    assert opened[-1] == ("recommendations", 1)
    assert [row["rank"] for row in delta_read.recommendations_for(lake, "m" * 40)[1]] == [1, 2]
    assert delta_read.recommendations_for(lake, "zz")[1] == [] and opened[-1] == ("recommendations", 0)
    assert (delta_read.rows_of(lake, "recommendations", 1), delta_read.rows_of(lake, "recommendations", 2)) == (8, 10)


def test_rows_of_another_release_are_an_error(lake):
    listed(lake, ["a"], "another")
    released(lake, "r1", fence=1)
    with pytest.raises(DataContractError, match="belongs to release another"):
        delta_read.recommendations_for(lake, "a")


def test_nothing_released_says_so(lake):
    with pytest.raises(DataContractError, match="nothing is released"):
        delta_read.recommendations_for(lake, "a")
