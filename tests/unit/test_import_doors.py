"""What stands at the import's door and in place of configuration files: every fault is a sentence that says what to do."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline import cli
from nightrank.pipeline.config import find, resolve

EVENTS = "u,i,t\na,x,2024-05-01T23:30:00Z\n"
MAPPING = "events: {columns: {user_id: u, item_id: i, event_time: t}}\n"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.csv").write_text(EVENTS)
    (tmp_path / "m.yaml").write_text(MAPPING)
    return tmp_path


def run(capsys, *arguments):
    code = cli._run([str(part) for part in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err and "Error" not in err.replace("OSError", "Error"), err
    return code, out, err


def importing(capsys, *more, input="e.csv", mapping="m.yaml", root="lake"):
    return run(capsys, "import", "events", "--input", input, "--mapping", mapping, "--root", root, *more)


def broken(folder, kind):
    path = folder / f"{kind}.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(folder / "nowhere")
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00\x81")
    elif kind == "yaml":
        path.write_text("events: {columns: [\n")
    else:
        path.write_text("- a\n")
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("folder", "is a folder"),
        ("pipe", "is not a file"),
        ("loop", "a link that leads back to itself"),
        ("dangling", "is a broken link"),
        ("binary", "is not UTF-8 text"),
        ("yaml", "is not YAML: line 2, column 1"),
        ("list", "holds a list, not keys with values"),
    ],
)
def test_what_stands_in_place_of_a_mapping_or_configuration(shop, capsys, kind, says):
    path = broken(shop, kind)
    for code, _, err in (importing(capsys, mapping=path), run(capsys, "config", "--show", "--config", path)):
        assert code == 2 and says in err and path.name in err and "what to do: " in err


@pytest.mark.parametrize("kind", ["pipe", "loop", "dangling"])
def test_what_stands_in_place_of_the_input(shop, capsys, kind):
    code, _, err = importing(capsys, input=broken(shop, kind))
    assert code == 2 and f"{kind}.yaml" in err and "what to do: " in err


def test_a_folder_that_bears_the_name_of_a_configuration_is_passed_over(shop):
    (shop / "tiny").mkdir()
    assert find("tiny").is_file() and resolve(["tiny"], []) != resolve([], [])
    (shop / "mine").mkdir()
    with pytest.raises(ConfigError, match="configuration file mine is a folder"):
        resolve(["mine"], [])


def test_an_override_that_is_no_yaml(shop):
    with pytest.raises(ConfigError, match=r"--set trainer.seed: the value is not YAML"):
        resolve([], ["trainer.seed=[1"])


@pytest.mark.parametrize("name", ["day=2024-5-1", "day=tomorrow", "day="])
def test_a_bad_day_folder_is_named(shop, capsys, name):
    importing(capsys)
    (shop / f"lake/landing/events/{name}").mkdir()
    code, _, err = run(capsys, "full", "--root", "lake", "--dry-run")
    assert code == 4 and name in err and "day=2024-05-01" in err
    with pytest.raises(DataContractError):
        Lake(shop / "lake").landing_days("events")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"clock": 1}'])
def test_a_broken_meta_is_named_and_the_way_out_works(shop, capsys, text):
    importing(capsys)
    meta = shop / "lake/landing/meta.json"
    whole = meta.read_text()
    meta.write_text(text)
    for code, _, err in (importing(capsys, "--dry-run"), run(capsys, "full", "--root", "lake", "--dry-run")):
        assert code == 4 and "meta.json is not the JSON object" in err
    meta.unlink()
    assert importing(capsys)[0] == 0 and meta.read_text() == whole


@pytest.mark.parametrize("place", ["lake", "lake/landing", "parent"])
def test_a_dry_run_finds_that_nothing_could_land(shop, capsys, place):
    root = "lake" if place != "parent" else "file/lake"
    path = shop / ("file" if place == "parent" else place)
    path.parent.mkdir(exist_ok=True)
    path.write_text("no folder")
    for more in ([], ["--dry-run"]):
        code, _, err = importing(capsys, *more, root=root)
        assert code == 2 and "nothing can land there" in err


def test_the_dry_run_of_a_run_names_every_landing_file_that_the_run_would_refuse(shop, capsys):
    importing(capsys)
    whole = next((shop / "lake/landing/events").glob("day=*/*.parquet"))
    table = pq.read_table(whole)
    pq.write_table(table.drop_columns(["action"]), whole.with_name("other.parquet"))
    whole.with_name("cut.parquet").write_bytes(whole.read_bytes()[:50])
    code, _, err = run(capsys, "full", "--root", "lake", "--dry-run")
    assert code == 4 and "other.parquet: column action is missing" in err and "cut.parquet: not a complete Parquet file" in err


def test_a_dry_run_shows_every_fault_and_writes_nothing(shop, capsys):
    (shop / "e.csv").write_text(EVENTS + "a,x,yesterday\nb, y,2024-05-02\n")
    shown = importing(capsys, "--dry-run")[2]
    assert "faulty: events: 1 cell of column t: no time that can be read (such as 'yesterday')" in shown
    assert "ids with spaces around them were trimmed: i" in shown and not (shop / "lake").exists()
    assert importing(capsys)[2] == shown


def test_the_time_zone_of_an_import_is_that_of_every_later_import_and_run(shop, capsys):
    assert importing(capsys, "--timezone", "Europe/Berlin")[0] == 0
    lake = Lake(shop / "lake")
    assert lake.landing_meta()["timezone"] == "Europe/Berlin" and lake.landing_days("events")[0].day == 2
    counts = json.loads(importing(capsys, "--json")[1])
    assert (counts["timezone"], counts["written"]) == ("Europe/Berlin", 0)
    code, _, err = importing(capsys, "--timezone", "UTC", "--dry-run")
    assert code == 2 and "has days in the time zone Europe/Berlin, but --timezone is UTC" in err
    assert resolve([], [], lake)["calendar"]["timezone"] == "Europe/Berlin"
    assert resolve([], ["calendar.timezone=Europe/Berlin"], lake) == resolve([], [], lake)
    code, _, err = run(capsys, "full", "--root", "lake", "--set", "calendar.timezone=UTC", "--dry-run")
    assert code == 2 and "leave calendar.timezone out" in err


def test_fourteen_files_with_an_unused_column_are_one_warning(shop, capsys):
    days = [f"2024-05-{d:02d}" for d in range(1, 15)]
    table = pa.table({"u": ["a"] * 14, "i": ["x"] * 14, "t": [f"{day}T12:00:00Z" for day in days], "day": days})
    write_deltalake(str(shop / "delta"), table, partition_by=["day"])
    _, out, err = importing(capsys, input="delta")
    assert err.splitlines() == ["warning: columns the import does not use were ignored: day (14 times)"]
    assert "day (14" not in out and "warnings" not in out
