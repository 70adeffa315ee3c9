"""What landed, by one listing a day: files, what is hidden, and a folder with the name of a file."""

from datetime import date

import pytest
from pipeline_fakes import DAY, landed_lake

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.landing_files import checked, faults, has_rows, identities, landing_entries

NAMED = "part-9.parquet"


@pytest.fixture
def lake(tmp_path):
    return landed_lake(tmp_path / "lake", days=2)


def names(lake, *days):
    return [path.name for path, _ in landing_entries(lake, "events", days)]


def test_the_files_of_the_days_in_their_order_and_no_hidden_one(lake):
    day = lake.landing_day("events", DAY)
    (day / ".half.parquet").write_bytes(b"")
    (day / "_SUCCESS").write_bytes(b"")
    assert names(lake, DAY) == ["part-0.parquet"]
    assert names(lake, DAY, date(2024, 1, 2)) == ["part-0.parquet"] * 2
    assert names(lake, date(2024, 2, 1)) == []


def test_the_identity_follows_the_content(lake):
    before = identities(lake, landing_entries(lake, "events", [DAY]))
    assert identities(lake, landing_entries(lake, "events", [DAY])) == before
    (path, size, _), file = before[0], lake.landing_day("events", DAY) / "part-0.parquet"
    assert (path, size) == (f"landing/events/day={DAY}/part-0.parquet", file.size)
    file.write_bytes(file.read_bytes())
    assert identities(lake, landing_entries(lake, "events", [DAY])) != before


def test_a_folder_in_place_of_a_file_has_an_identity_and_is_named_by_ingest(lake):
    folder = lake.landing_day("events", DAY) / NAMED
    folder.mkdir()
    (_, _, _), (path, _, tag) = identities(lake, landing_entries(lake, "events", [DAY]))
    assert path.endswith(NAMED) and tag == "folder"
    assert has_rows(folder), "what cannot be read counts"
    with pytest.raises(DataContractError, match=f"{NAMED}: not a complete Parquet file"):
        checked(lake, "events", [DAY])
    assert len(faults(lake, "events", [DAY])) == 1
