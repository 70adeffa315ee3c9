"""What the report's stage reads of two releases: which lists changed, histories as of the release, and reasons."""

from datetime import date

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from finished_run import DAY, RUN, USERS, finished_run, recommendation, write_lists, write_release

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import list_schemas, schemas
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import CalendarSettings, TrainingSetSettings
from nightrank.feature_store.days import day_start
from nightrank.pipeline.report import changes as changing
from nightrank.pipeline.report import stage
from nightrank.pipeline.report.changes import changes, compared
from nightrank.pipeline.report.earlier import earlier_results
from nightrank.pipeline.report.explored import explored
from nightrank.pipeline.report.morning import LISTS, earlier_nights, figures

NOON = day_start(DAY, "UTC") + 43_200_000_000
SETTINGS = (TrainingSetSettings(), CalendarSettings())
TONIGHT = {"u1": ["i4", "i2", "i3"], "u2": ["i2", "i1"], "u3": ["i1", "i2", "i3", "i4"]}


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Before, each of three users had i1 to i4. Tonight u1 lost i1, u2 has two in another order, u3 the same list."""
    lake = finished_run(tmp_path / "lake")
    rows = [
        recommendation(
            user, place, item_id=item, release_id="r2", list_id=f"0{user}", fallback="no_history" if user == "u2" else None
        )
        for user, items in TONIGHT.items()
        for place, item in enumerate(items, 1)
    ]
    write_lists(lake, rows)
    known = [{"kind": "user", "raw_id": user, "dense_id": n} for n, user in enumerate(USERS, 1)]
    known += [{"kind": "item", "raw_id": f"i{n}", "dense_id": n} for n in range(1, 7)]
    write_deltalake(str(lake.table("vocabulary")), pa.Table.from_pylist(known, schemas.VOCABULARY), mode="overwrite")
    events = [
        (1, 5, NOON - 9, "view"),
        (1, 6, NOON, "purchase"),
        (1, 1, NOON + 86_400_000_000, "view"),
        (3, 5, NOON, "impression"),
    ]
    write_deltalake(
        str(lake.table("interactions")), pa.Table.from_pylist([event(*each) for each in events], schemas.INTERACTIONS)
    )
    near = {"item_id": "i6", "rank": 1, "similar_id": "i4", "score": 1.0, "reason": "cosine 0.9"}
    near = pa.Table.from_pylist([dict.fromkeys(list_schemas.SIMILAR_ITEMS.names) | near], list_schemas.SIMILAR_ITEMS)
    write_deltalake(str(lake.table("similar_items")), near)
    newer = {"release_id": "r2", "recommendations_version": 1, "vocabulary_version": 1, "similar_items_version": 0, "rows": 9}
    write_release(lake, delta_read.releases(lake)[-1].model_copy(update={**newer, "fence": 2}))
    return lake


def event(user, item, when, action):
    row = {"user": user, "item": item, "event_time": when, "availability_time": when, "action": ACTION_CODES[action]}
    return (
        dict.fromkeys(schemas.INTERACTIONS.names) | row | {"event_id": f"{user}{item}", "event_date": DAY, "landing_date": DAY}
    )


def view_of(lake, named=False):
    release = delta_read.latest_release(lake)
    return explored(lake, release, compared(lake, release), SETTINGS, named)


def test_changed_lists_and_items_by_hand(lake) -> None:
    found = compared(lake, delta_read.latest_release(lake))
    assert found.changed == ["u2", "u1"]
    answer = changes(found)
    assert (answer["since"], answer["compared"], answer["changed"]) == (str(DAY), 3, 2)
    assert answer["shared"] == pytest.approx(1.0), "what u1 and u2 still have they had before"
    assert answer["items"] == [
        {"item_id": "i1", "now": 2, "before": 3},
        {"item_id": "i3", "now": 2, "before": 3},
        {"item_id": "i4", "now": 2, "before": 3},
    ]


def test_the_first_release_has_nothing_to_compare_with(tmp_path) -> None:
    lake = finished_run(tmp_path)
    found = compared(lake, delta_read.latest_release(lake))
    assert (changes(found), found.changed, len(found.now)) == (None, [], 3)


def test_lists_that_maintenance_took_are_not_compared(lake) -> None:
    for file in delta_read.files_of(lake, "recommendations", 0):
        (lake.table("recommendations") / file).unlink()
    assert changes(compared(lake, delta_read.latest_release(lake))) is None


def test_of_many_lists_a_share_is_read(lake, monkeypatch) -> None:
    monkeypatch.setattr(changing, "MOST_ROWS", 1)  # of nine rows: list ids below one ninth
    release = delta_read.latest_release(lake)
    assert set(compared(lake, release).now) == set(USERS)  # ids begin with 0
    monkeypatch.setattr(changing, "MOST_ROWS", 0)
    assert compared(lake, release).now == {}


def test_the_explorer_knows_history_list_and_reasons(lake) -> None:
    view = view_of(lake)
    by_list = {tuple(item for item, *_ in user["list"]): user for user in view["users"]}
    first = by_list["i4", "i2", "i3"]
    # Newest first; what came after the release's day and impressions are no history.
    assert first["history"] == [("i6", "purchase"), ("i5", "view")] and first["before"] == ["i1", "i2", "i3", "i4"]
    assert first["list"][0] == ["i4", pytest.approx(1.0), [("like", "i6", "cosine 0.9")]] and first["list"][1][2] == []
    assert by_list["i2", "i1"]["fallback"] == "no_history" and by_list["i1", "i2", "i3", "i4"]["history"] == []
    assert (view["users_of"], view["items_of"], view["compared"]) == (3, 6, 3)
    assert view["items"]["i1"] | {"similar": []} == {
        "title": "Grim Fandango", "category": None, "price": None, "now": 2, "before": 3, "similar": [],
    }  # fmt: skip
    assert view["items"]["i6"]["similar"] == [("i4", "cosine 0.9")]


def test_users_are_numbers_unless_their_ids_may_be_shown(lake) -> None:
    assert [user["label"] for user in view_of(lake)["users"]] == ["User 1", "User 2", "User 3"]
    assert not any(user in str(view_of(lake)) for user in ("'u1'", "'u2'", "'u3'"))
    assert {user["user_id"] for user in view_of(lake, named=True)["users"]} == set(USERS)


def test_the_stage_leaves_what_the_page_shows_and_a_lake_without_it_still_has_a_page(lake) -> None:
    config = read_json(lake.run_dir(RUN) / "run.json")["config"]

    context = StageContext(
        lake.root, RUN, "full", date.fromisoformat(str(DAY)), seed=5, fence=0, config=Configuration.from_run(config)
    )
    stage.run(context)
    assert read_json(lake.run_dir(RUN) / LISTS)["changes"]["changed"] == 2
    assert 'id="explorer"' in (lake.run_dir(RUN) / "report.html").read_text()
    (lake.run_dir(RUN) / LISTS).unlink()
    for file in delta_read.files_of(lake, "interactions", 0):
        (lake.table("interactions") / file).unlink()
    stage.run(context)
    assert 'id="explorer"' not in (lake.run_dir(RUN) / "report.html").read_text()


def test_figures_of_the_nights_before_are_read_newest_attempt_first(tmp_path) -> None:
    lake = Lake(tmp_path)
    for run, day, kind, events in (
        ("a", "2024-01-01", "nightly", 5),
        ("b", "2024-01-02", "nightly", 6),
        ("c", "2024-01-02", "full", 7),
    ):
        write_json(lake.run_dir(run) / "result.json", {"date": day, "kind": kind, "counts": {"events": events}})
    write_json(lake.run_dir("a") / LISTS, {"changes": {"compared": 4, "changed": 1}})
    found = earlier_nights(earlier_results(lake.run_dir("now"), "2024-01-03"))
    assert found == [
        ("2024-01-01", {"events": 5, "put aside": 0.0, "changed": 0.25}),
        ("2024-01-02", {"events": 6, "put aside": 0.0}),
    ]
    assert figures({"counts": {}}, None) == {}
    assert earlier_nights(earlier_results(lake.run_dir("now"), "2024-01-01")) == []
