"""The public layouts, on the real files."""

from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs.sources.imports import import_data

DATA = Path(__file__).parents[2].parent / "shared/data"
real_data = pytest.mark.skipif(not DATA.exists(), reason="shared/data is not on this machine")


def landed(root, kind="events"):
    schema = {"events": schemas.LANDING_EVENTS, "items": schemas.LANDING_ITEMS, "users": schemas.LANDING_USERS}[kind]
    return ds.dataset(str(Lake(root).landing(kind)), schema=schema, format="parquet").to_table()


def quiet(*args, **kwargs):
    return import_data(*args, progress=lambda _: None, **kwargs)


def names(root):
    return sorted(str(p.relative_to(root)) for p in (root / "landing").rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A lake of the real films and tags and the first 5,000 real ratings: every day is a file, and there are thousands."""
    folder, root = tmp_path_factory.mktemp("ml"), tmp_path_factory.mktemp("films")
    for name, lines in (("ratings.csv", 5_001), ("movies.csv", None), ("tags.csv", 101)):
        text = (DATA / "ml-latest-small" / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(text[:lines]), encoding="utf-8")
    return root, quiet("movielens", folder, root), folder


@real_data
def test_all_of_movielens_is_read(tmp_path):
    counts = quiet("movielens", DATA / "ml-latest-small", tmp_path, dry_run=True)
    assert (counts["events"], counts["clock"], counts["id_type"], counts["faulty_rows"]) == (100_004, "real", "int64", 0)
    assert (counts["first_day"], counts["last_day"]) == ("1995-01-09", "2016-10-16")
    assert list(tmp_path.iterdir()) == [], "a dry run writes nothing"


@real_data
def test_movielens_twice_is_movielens_once(films):
    root, counts, folder = films
    events = landed(root)
    assert events.num_rows == counts["events"] == 5_000 and counts["written"] == counts["files"] > 50
    assert set(events["action"].to_pylist()) == {"rating"} and pc.max(events["value"]).as_py() == 5.0
    before = names(root)
    assert quiet("movielens", folder, root)["written"] == 0 and names(root) == before


@real_data
def test_movielens_films_have_genres_and_the_tags_that_were_given_by_then(films):
    films = landed(films[0], "items").filter(pc.field("item_id") == "339").sort_by("availability_time").to_pylist()
    plain = [film for film in films if film["availability_time"] is None]
    assert [film["title"] for film in plain] == ["While You Were Sleeping (1995)"] and plain[0]["text"] is None
    assert plain[0]["categories"] == ["Comedy", "Romance"]
    tagged = next(film for film in films if film["text"])
    assert "sandra 'boring' bullock" in tagged["text"] and tagged["availability_time"].year == 2006


@real_data
def test_an_event_lands_on_its_own_day(films):
    lake = Lake(films[0])
    for day in lake.landing_days("events")[::20]:
        table = ds.dataset(str(lake.landing_day("events", day)), schema=schemas.LANDING_EVENTS, format="parquet").to_table()
        assert {moment.date() for moment in table["event_time"].to_pylist()} == {day}


@real_data
def test_sequences_with_titles(tmp_path):
    games = DATA / "amazon-games"
    counts = quiet("sequences", games / "sequences.txt", tmp_path, titles=games / "Games-6k.item")
    assert (counts["events"], counts["items"], counts["clock"]) == (440_264, 16_859, "position")
    events = landed(tmp_path)
    assert len(pc.unique(events["user_id"])) == 50_546
    first = events.filter(pc.field("user_id") == "1").sort_by("event_time")
    assert first["item_id"].to_pylist() == [str(i) for i in range(15, 25)]
    assert [t.second for t in first["event_time"].to_pylist()] == list(range(10))
    titles = dict(zip(*(landed(tmp_path, "items")[n].to_pylist() for n in ("item_id", "title")), strict=True))
    assert titles["0"] == "Fire Emblem: The Sacred Stones" and "item_id:token" not in titles


@real_data
def test_labelled_impressions_of_frappe(tmp_path):
    source = DATA / "frappe_x1"
    counts = quiet("impressions", source, tmp_path)
    raw = ds.dataset(str(source), format="parquet").to_table()
    events = landed(tmp_path)
    actions = Counter(events["action"].to_pylist())
    assert actions == {"impression": raw.num_rows, "click": pc.sum(raw["label"]).as_py()}
    assert (counts["clock"], counts["id_type"]) == ("position", "int64")
    assert set(dict(events["context"][0].as_py())) == set(raw.column_names) - {"label", "user", "item"}


def test_the_click_comes_right_after_its_impression(tmp_path):
    (tmp_path / "log.csv").write_text("label,user,item,city\n0,7,1,x\n1,7,2,\n1,8,1,y\n")
    quiet("impressions", tmp_path / "log.csv", tmp_path / "lake")
    events = landed(tmp_path / "lake").sort_by([("user_id", "ascending"), ("event_time", "ascending")])
    told = [(e["user_id"], e["item_id"], e["action"], e["event_time"].second) for e in events.to_pylist()]
    assert told == [
        ("7", "1", "impression", 0),
        ("7", "2", "impression", 1),
        ("7", "2", "click", 2),
        ("8", "1", "impression", 0),
        ("8", "1", "click", 1),
    ]
    assert [dict(e["context"] or []) for e in events.to_pylist()][:2] == [{"city": "x"}, {}]


def test_an_impression_with_an_unreadable_label_is_kept_and_marked(tmp_path):
    (tmp_path / "log.csv").write_text("label,user,item\nmaybe,7,1\n2,7,1\n1,7,2\n,7,3\n0,8,1\n0,8,2\n")
    counts = quiet("impressions", tmp_path / "log.csv", tmp_path / "lake")
    events = landed(tmp_path / "lake").to_pylist()
    assert [dict(e["context"] or []).get("_raw") for e in events] == [
        "label=maybe",
        "label=2",
        None,
        None,
        "label=null",
        None,
        None,
    ]
    assert counts["faulty_rows"] == 3 and [e["action"] for e in events].count("click") == 1


def test_the_one_million_layout(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n2::661::3::978302109\n")
    (tmp_path / "movies.dat").write_bytes("661::Misérables, Les (1995)::Drama|Musical\n".encode("latin-1"))
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
    counts = quiet("movielens", tmp_path, tmp_path / "lake")
    assert (counts["events"], counts["items"], counts["users"]) == (2, 1, 1)
    assert landed(tmp_path / "lake", "items")["title"].to_pylist() == ["Misérables, Les (1995)"]
    assert dict(landed(tmp_path / "lake", "users")["attributes"][0].as_py())["occupation"] == "10"


def test_a_user_without_items_is_a_known_user(tmp_path):
    (tmp_path / "s.txt").write_text("u1 a b\nu2\n\nu1 c\n")
    counts = quiet("sequences", tmp_path / "s.txt", tmp_path / "lake")
    assert (counts["events"], counts["users"]) == (3, 1)
    events = landed(tmp_path / "lake").sort_by("event_time")
    assert events["item_id"].to_pylist() == ["a", "b", "c"]  # The second line goes on where the first ended.
    assert [t.second for t in events["event_time"].to_pylist()] == [0, 1, 2]


def test_a_history_longer_than_a_day_has_seconds_stays_whole(tmp_path):
    (tmp_path / "s.txt").write_text("u " + " ".join(str(i) for i in range(90_000)) + "\n")
    assert quiet("sequences", tmp_path / "s.txt", tmp_path / "lake")["first_day"] == "1970-01-01"
    assert landed(tmp_path / "lake").num_rows == 90_000


@pytest.mark.parametrize(
    ("layout", "text", "says"),
    [
        ("sequences", "", "is empty"),
        ("sequences", "\n\n", "holds no events"),
        ("impressions", "user,item\n1,2\n", "label is missing"),
    ],
)
def test_a_file_that_says_nothing(tmp_path, layout, text, says):
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(DataContractError, match=says):
        quiet(layout, tmp_path / "in.csv", tmp_path / "lake")
    assert not (tmp_path / "lake/landing/meta.json").exists()


def test_a_title_line_without_a_tab_is_named(tmp_path):
    (tmp_path / "s.txt").write_text("u a\n")
    (tmp_path / "t.item").write_text("item_id:token\ttitle:token_seq\na\tOne\nb Two\n")
    with pytest.raises(DataContractError, match=r"t\.item: line 3 has no tab"):
        quiet("sequences", tmp_path / "s.txt", tmp_path / "lake", titles=tmp_path / "t.item")


def test_a_line_of_the_million_with_a_field_too_few_is_named(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n2::661::3\n")
    with pytest.raises(DataContractError, match="line 2 has 3 fields, not 4"):
        quiet("movielens", tmp_path, tmp_path / "lake")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("netflix", "."), "layout 'netflix' is not known"),
        (("sequences", "nowhere.txt"), "does not exist"),
        (("movielens", "."), "holds neither ratings.csv"),
    ],
)
def test_wrong_calls(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        quiet(*arguments[:1], Path(arguments[1]), tmp_path / "lake")
