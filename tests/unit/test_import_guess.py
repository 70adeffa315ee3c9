"""`nightrank import --guess`: the mapping it proposes reads the file, and says why; it imports nothing."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.pipeline import cli
from nightrank.spark_jobs.sources.guess.look import guess
from nightrank.spark_jobs.sources.imports import import_data

CASES = Path(__file__).parents[1] / "cases"


def columns(text):
    lines = (line.split(" #")[0].strip() for line in text.splitlines() if line.startswith("    "))
    return dict(line.replace('"', "").split(": ", 1) for line in lines if ": " in line)


def test_a_german_export_is_understood_and_the_mapping_imports_it(tmp_path):
    found = guess(CASES / "decimal_comma/ereignisse.csv")
    assert {"user_id": "Kunde", "item_id": "Artikelnr", "event_time": "Zeit", "value": "Betrag"}.items() <= columns(
        found.text
    ).items()
    assert '"Warenkorb": cart' in found.text and 'format: "%d.%m.%Y %H:%M:%S"' in found.text
    assert 'decimal: ","' in found.text and 'thousands: "."' in found.text
    assert found.detected == {"delimiter ';': ereignisse.csv": 1}
    (tmp_path / "m.yaml").write_text(found.text)
    counts = import_data(
        "events",
        CASES / "decimal_comma/ereignisse.csv",
        tmp_path / "lake",
        mapping=tmp_path / "m.yaml",
        progress=lambda _: None,
    )
    assert counts["faulty"] == [] and counts["events"] == 39
    assert found.rows[0] == {
        "user_id": "193",
        "item_id": "00073",
        "action": "purchase",
        "event_time": datetime(2024, 3, 20, 0, 2, tzinfo=UTC),
        "value": 1299.0,
    }


def test_every_decided_line_has_its_reason():
    for line in guess(CASES / "decimal_comma/ereignisse.csv").text.splitlines():
        assert " # " in line or line.strip() in ("columns:", "time:"), line


def test_stock_is_proposed_for_what_is_available(tmp_path):
    (tmp_path / "p.csv").write_text("sku,name,stock\na,Tent,3\nb,Lamp,0\n")
    found = guess(tmp_path / "p.csv")
    assert columns(found.text)["available"] == "stock" and [row["available"] for row in found.rows] == [True, False]
    (tmp_path / "p.csv").write_text("sku,name,stock\na,Tent,hall 3\nb,Lamp,hall 4\n")
    assert "available" not in columns(guess(tmp_path / "p.csv").text)


def test_a_catalogue_is_items():
    found = guess(CASES / "decimal_comma/produkte.csv")
    assert (found.section, found.rows[0]["price"], found.rows[2]["price"]) == ("items", 1299.0, 0.99)
    assert "currency: true" in found.text


def test_fields_inside_of_objects_and_lists_of_objects(tmp_path):
    assert {"user_id": "user.id", "item_id": "product.sku", "event_time": "event.ts"}.items() <= columns(
        guess(CASES / "nested_jsonl/nested.jsonl").text
    ).items()
    order = {
        "customer": {"id": "c1"},
        "at": "2024-05-01T12:00:00Z",
        "lines": [{"sku": "a", "price": 1}, {"sku": "b", "price": 2}],
    }
    (tmp_path / "o.jsonl").write_text(json.dumps(order) + "\n")
    found = guess(tmp_path / "o.jsonl")
    assert "explode: lines" in found.text and columns(found.text)["item_id"] == "lines.sku"
    assert [(row["user_id"], row["item_id"], row["value"]) for row in found.rows] == [("c1", "a", 1.0), ("c1", "b", 2.0)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1714564800", "1714564860"], "unit: s"),
        (["1714564800000000", "1714564860000000"], "unit: us"),
        (["05/13/2024 12:00", "05/01/2024 12:00"], 'format: "%m/%d/%Y %H:%M"'),
        (["05/01/2024 12:00", "06/01/2024 12:00"], "if the month comes first, write %m/%d"),
        (["2024-05-01 12:00:00 UTC", "2024-05-02 12:00:00 UTC"], 'format: "auto"'),
    ],
)
def test_times_are_proposed_with_unit_or_format(tmp_path, cells, expected):
    (tmp_path / "e.csv").write_text("user,item,ts\n" + "".join(f"u{k},i,{cell}\n" for k, cell in enumerate(cells)))
    assert expected in guess(tmp_path / "e.csv").text


def test_parquet_and_a_column_that_only_sounds_like_a_time(tmp_path):
    moments = pa.array([datetime(2024, 5, 1)] * 2, pa.timestamp("us"))
    pq.write_table(
        pa.table({"visitorid": [1, 2], "itemid": [3, 4], "time": ["morning", "noon"], "created_at": moments}),
        tmp_path / "e.parquet",
    )
    assert columns(guess(tmp_path / "e.parquet").text)["event_time"] == "created_at"


def test_nothing_that_looks_like_an_item_says_which_columns_there_are(tmp_path):
    (tmp_path / "e.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataContractError, match="its columns are a, b") as caught:
        guess(tmp_path / "e.csv")
    assert "conf/mapping-example.yaml" in caught.value.remedy


def test_the_command_writes_a_new_file_and_no_other(tmp_path, capsys):
    source, target = str(CASES / "dates_and_formats/epoch_ms.csv"), tmp_path / "new.yaml"
    assert cli._run(["import", "--guess", source, "--mapping", str(target)]) == 0
    out, err = capsys.readouterr()
    assert target.read_text() == out and "unit: ms" in out
    assert "rows as they would land" in err and "2024-05-01T12:00:00+00:00" in err
    assert cli._run(["import", "--guess", source, "--mapping", str(target)]) == 2
    assert "exists" in capsys.readouterr().err
    assert cli._run(["import", "--guess", source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["section"] == "events"
    assert cli._run(["import"]) == 2 and "--guess FILE" in capsys.readouterr().err
