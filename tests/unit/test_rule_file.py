"""A shop's rules as people write them: a file is read whole or refused with its row and value, and the table follows it."""

import json

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.rule_rows import read_rules, write_rules
from nightrank.pipeline.cli import _run
from nightrank.pipeline.lists.rule_file import read_rule_file
from nightrank.pipeline.lists.rules import current_rules, import_rules

GOOD = "kind,item,category,number,lowest,highest,actions,days,at_most,note\n"
LINES = [
    "deny,i3,,,,,,,,recalled",
    "cap,,games,,,,,,2,",
    "price,,,,5,99.5,,,,",
    ",,,,,,,,,",
    "stock,,games,left,1,,,,,",
    "bought,,,,,,purchase|cart,30,,",
    "allow,,games,,,,,,,",
]
LABELS = [
    "deny item i3",
    "cap games 2",
    "price 5..99.5",
    "stock 1.. of games",
    "bought purchase|cart 30 days",
    "allow category games",
]


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "lake")
    lake.landing_meta_path.path.parent.mkdir(parents=True)
    lake.landing_meta_path.write_text(json.dumps({"clock": "real", "id_type": "string", "source": "test"}))
    items = [{"item_id": "i1", "categories": ["games", "new"], "numbers": [("left", 3.0)]}, {"item_id": "i2"}]
    rows = [{name: row.get(name) for name in schemas.ITEMS.names} for row in items]
    write_deltalake(str(lake.table("items")), pa.Table.from_pylist(rows, schemas.ITEMS))
    words = [dict.fromkeys(schemas.VOCABULARY.names) | {"kind": "item", "raw_id": "i3", "dense_id": 1}]
    write_deltalake(str(lake.table("vocabulary")), pa.Table.from_pylist(words, schemas.VOCABULARY))
    return lake


def written(tmp_path, *lines, name="rules.csv", head=GOOD):
    path = tmp_path / name
    path.write_text(head + "\n".join(lines))
    return path


def test_a_csv_and_a_yaml_file_give_the_same_rules(tmp_path):
    rules = [rule for rule, _ in read_rule_file(written(tmp_path, *LINES))]
    assert [rule.label for rule in rules] == LABELS and rules[0].note == "recalled"
    tree = [rule.model_dump(mode="json", exclude_defaults=True) for rule in rules]
    assert [rule for rule, _ in read_rule_file(written(tmp_path, json.dumps(tree), name="rules.yaml", head=""))] == rules


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("deny,,,,,,,,,", r"row 2: a deny rule needs item or category"),
        ("deny,i3,,,4,,,,,", r"a deny rule has no lowest: it takes item, category"),
        ("ban,i3,,,,,,,,", r"row 2: kind 'ban': Input should be"),
        ("cap,,games,,,,,,two,", r"row 2: at_most 'two' is not a number"),
        ("price,,,,9,5,,,,", r"lowest 9 is above highest 5"),
        ("bought,,,,,,steal,,,", r"unknown action steal"),
        ("deny,i3", r"row 2: 10 cells are needed"),
        ("deny,i9,,,,,,,,", r"rules\.csv, row 2: item 'i9' does not exist"),
        ("allow,,toys,,,,,,,", r"rules\.csv, row 2: category 'toys' does not exist"),
        ("stock,,,kept,1,,,,,", r"rules\.csv, row 2: number 'kept' does not exist"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_rule_is_refused_and_nothing_is_written(tmp_path, lake, line, fault):
    with pytest.raises(DataContractError, match=fault):
        import_rules(lake, written(tmp_path, line))
    assert current_rules(lake) == {"version": None, "rules": []}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for name, content, fault in (("a.yaml", b"- {", "is not YAML"), ("b.csv", b"\xff\xfe\x00", "is not UTF-8")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=fault):
            read_rule_file(tmp_path / name)
    with pytest.raises(UsageError, match="does not exist"):
        read_rule_file(tmp_path / "c.csv")


def test_the_table_is_what_the_file_says_and_equal_rules_leave_no_version(tmp_path, lake, capsys):
    path = written(tmp_path, *LINES)
    assert import_rules(lake, path, dry_run=True)["added"] == LABELS
    assert current_rules(lake)["version"] is None
    first, again = import_rules(lake, path), import_rules(lake, path)
    assert (first["version"], again["version"], again["added"]) == (0, 0, [])
    assert [rule["label"] for rule in current_rules(lake)["rules"]] == LABELS
    fewer = import_rules(lake, written(tmp_path, LINES[1]))
    assert (fewer["version"], fewer["removed"]) == (1, [label for label in LABELS if label != "cap games 2"])
    assert [rule.label for rule in read_rules(lake, 0)] == LABELS, "a run that followed them can be repeated"
    assert _run(["rules", "show", "--root", str(lake.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"][0]["label"] == "cap games 2"
    assert write_rules(lake, []) == 2 and delta_read.table_version(lake, "list_rules") == 2
    assert read_rules(lake, 2) == ()


def test_labels_tell_rules_apart():
    assert ListRule(kind="deny", item="i1", category="a").label == "deny item i1 in category a"
