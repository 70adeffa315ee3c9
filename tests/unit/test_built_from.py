"""What a table's log says of how far it was built, and of what another got since: real Delta tables, no JVM."""

import json

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from nightrank.feature_store import delta_log
from nightrank.feature_store.built_from import added, built_from, key_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import EVENTS, INTERACTIONS, ITEM_DAYS, USER_DAYS

STAGE = "build_features"


def write(lake, table, rows, key=None, mode="append"):
    columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in table.schema}
    note = {} if key is None else {"userMetadata": json.dumps({"run_id": "r", "key": key})}
    place = lake.table(table.name).path
    place.parent.mkdir(parents=True, exist_ok=True)
    rows = pa.table(columns, schema=table.schema)
    write_deltalake(str(place), rows, mode=mode, commit_properties=CommitProperties(custom_metadata=note))


def forget(lake, table, at):
    (lake.table(table.name).path / "_delta_log" / f"{at:020d}.json").unlink()


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def test_the_newest_commit_that_names_a_version_says_how_far_a_table_was_built(lake):
    assert built_from(lake, USER_DAYS, STAGE, INTERACTIONS) is None, "there is no such table"
    for version in (3, 7):
        write(lake, USER_DAYS, [{"user": 1, "day": version}], key_of(STAGE, INTERACTIONS, version))
    write(lake, USER_DAYS, [{"user": 1, "day": 9}])
    write(lake, USER_DAYS, [{"user": 1, "day": 10}], "maintain:other@12")
    assert built_from(lake, USER_DAYS, STAGE, INTERACTIONS) == 7
    assert built_from(lake, USER_DAYS, STAGE, EVENTS) is None
    write(lake, USER_DAYS, [{"user": 1, "day": 11}], key_of(STAGE, INTERACTIONS, None))
    assert built_from(lake, USER_DAYS, STAGE, INTERACTIONS) is None, "it left something out"


def test_a_log_that_was_cleaned_up_does_not_say_it(lake):
    write(lake, ITEM_DAYS, [{"item": 1, "day": 1}], key_of(STAGE, INTERACTIONS, 3))
    write(lake, ITEM_DAYS, [{"item": 1, "day": 2}])
    write(lake, ITEM_DAYS, [{"item": 1, "day": 3}])
    forget(lake, ITEM_DAYS, 1)
    assert built_from(lake, ITEM_DAYS, STAGE, INTERACTIONS) is None


def test_what_was_added_is_in_the_files_of_later_commits(lake):
    for number in range(4):
        write(lake, EVENTS, [{"event_id": f"e{number}", "user_id": "u", "item_id": "i"}])
    batches = added(lake, EVENTS, 1, 3, ("event_id",))
    assert sorted(value for batch in batches for value in batch.column(0).to_pylist()) == ["e2", "e3"]
    assert list(added(lake, EVENTS, 3, 3, ("event_id",))) == []


@pytest.mark.parametrize("fault", ["rows were taken away", "the log is gone", "a file is gone"])
def test_where_that_does_not_tell_what_changed_there_is_no_answer(lake, fault):
    for number in range(3):
        write(lake, EVENTS, [{"event_id": f"e{number}", "user_id": "u", "item_id": "i"}])
    if fault == "rows were taken away":
        write(lake, EVENTS, [{"event_id": "other", "user_id": "u", "item_id": "i"}], mode="overwrite")
    elif fault == "the log is gone":
        forget(lake, EVENTS, 2)
    else:
        (path,) = delta_log.files_added(lake, EVENTS, 1, 2)
        (lake.table(EVENTS.name).path / path).unlink()
    assert added(lake, EVENTS, 0, 3 if fault == "rows were taken away" else 2, ("event_id",)) is None
