"""`nightrank explain --clicks`: the row is the one that score_ctr gives the ranker, and its inputs add up."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from finished_run import finished_run, write_release
from test_ctr_models import awake
from test_explain import write

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import list_schemas, tables
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, ModelRef
from nightrank.feature_store.contracts.snapshot import Impressions
from nightrank.pipeline.cli import _run
from nightrank.ranker.ctr.bundle import load_ctr_bundle, save_ctr_bundle
from nightrank.ranker.ctr.codes import FieldCodes
from nightrank.ranker.ctr.config import CtrShapes, FieldShape, NumericShape
from tests.evaluation_lake import ref_of
from tests.snapshots import make_snapshot

VALUES = {
    "user": ["u1", "u2"],
    "item": [f"i{n}" for n in range(1, 9)],
    "category": ["game"],
    "position": ["1", "2"],
    "attribute.country": ["de"],
}
NUMBERS = ("log_price", "log_history")
SHAPES = CtrShapes(
    fields=tuple(FieldShape(name=name, size=len(known) + 1) for name, known in VALUES.items()),
    numeric=tuple(NumericShape(name=name, mean=0.5, scale=2.0) for name in NUMBERS),
    history="item",
    labels=("click", "cart"),
)
HISTORY = ["i3", "i3", "i7"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A release, a click ranker that reads histories, and what it knows of u1 and i2."""
    lake = finished_run(tmp_path_factory.mktemp("clicks") / "lake")
    codes = FieldCodes({name: pa.array(known, pa.string()) for name, known in VALUES.items()})
    draft = lake.bundles / "draft-ctr"
    manifest = save_ctr_bundle(draft.path, awake("din", SHAPES), codes)
    draft.path.rename((lake.bundles / manifest).path)
    snapshot = make_snapshot({}, items=8).model_copy(update={"impressions": _spec()})
    snapshot.save(lake.snapshot(snapshot.id))
    reference: ModelRef = ref_of(f"models/{manifest}", "run", 1, "2024-01-03")
    reference.model_copy(update={"snapshot_id": snapshot.id, "manifest_sha256": manifest}).save(lake.root / CTR_MODEL)
    _tables(lake, manifest)
    return lake


def _spec() -> Impressions:
    sizes = tuple(len(known) + 1 for known in VALUES.values())
    numbers: dict[str, Any] = {"numeric": NUMBERS, "mean": (0.5, 0.5), "scale": (2.0, 2.0)}
    past = {"history": "item", "history_length": 2, "history_actions": ("click",)}
    return Impressions(fields=tuple(VALUES), sizes=sizes, labels=SHAPES.labels, valid_from=1, test_from=2, **numbers, **past)


def _tables(lake: Lake, manifest: str) -> None:
    day = int(datetime(2024, 1, 3, tzinfo=UTC).timestamp()) * 1_000_000
    rows = []
    for at, (item, action) in enumerate([*((item, 3) for item in HISTORY), ("i8", 2)]):
        when = {"event_time": day + at, "availability_time": day + at, "event_id": f"{at}"}
        rows.append({"user": 1, "item": int(item[1:]), "action": action, **when})
    write(lake, tables.INTERACTIONS, rows)
    known = [{"kind": "user", "raw_id": "u1", "dense_id": 1}]
    write(lake, tables.VOCABULARY, known + [{"kind": "item", "raw_id": f"i{n}", "dense_id": n} for n in range(1, 9)])
    write(lake, tables.ITEMS, [{"item_id": "i2", "title": "Space Trader", "price": 9.0, "categories": ["game"]}])
    write(lake, tables.USER_ATTRIBUTES, [{"user": 1, "attributes": [("country", "de")], "known_from": day}])
    scores = {"user_id": "u1", "item_id": "i2", "scores": [("click", 0.25)], "manifest_sha256": manifest}
    full = dict.fromkeys(list_schemas.CLICK_SCORES.names) | scores
    write_deltalake(str(lake.table("ctr_scores")), pa.Table.from_pylist([full], list_schemas.CLICK_SCORES))
    versions = {f"{name}_version": delta_read.table_version(lake, table) for name, table in TABLES.items()}
    write_release(lake, delta_read.releases(lake)[0].model_copy(update={"fence": 2, **versions}))


TABLES = {"data": "interactions", "vocabulary": "vocabulary"}


def explained(lake: Lake, capsys, *more: str) -> dict[str, Any]:
    assert _run(["explain", "--root", str(lake.root), "--user", "u1", "--item", "i2", "--clicks", "--json", *more]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_the_row_is_the_one_that_is_scored_and_its_inputs_add_up(lake: Lake, capsys) -> None:
    answer = explained(lake, capsys)
    row = {"user": "u1", "item": "i2", "category": "game", "position": "1", "attribute.country": "de"}
    columns: dict[str, Any] = {name: pa.array([value], pa.string()) for name, value in row.items()}
    columns |= {"log_price": pa.array([math.log1p(9.0)]), "log_history": pa.array([math.log1p(3)])}
    bundle = load_ctr_bundle((lake.bundles / read_manifest(lake)).path)
    expected = bundle.predict(pa.table({**columns, "history": pa.array([HISTORY[-2:]])}))[0, 0].item()
    assert answer["probability"] == pytest.approx(expected, abs=1e-5)
    assert answer["base"] + sum(each["adds"] for each in answer["inputs"]) == pytest.approx(expected, abs=1e-3)
    told = {each["input"]: each["value"] for each in answer["inputs"]}
    assert told["history"] == "2 events" and told["category"] == "game" and told["log_price"] == pytest.approx(math.log(10))
    assert (answer["action"], answer["released"], answer["title"]) == ("click", 0.25, "Space Trader")
    assert answer["sentence"].startswith("click of “Space Trader”: ")


def read_manifest(lake: Lake) -> str:
    return str(json.loads((lake.root / CTR_MODEL).read_text())["manifest_sha256"])


def test_another_action_is_explained_when_it_is_named(lake: Lake, capsys) -> None:
    first, second = explained(lake, capsys), explained(lake, capsys, "--action", "cart")
    assert second["action"] == "cart" and second["released"] is None and first["probability"] != second["probability"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--user", "u1", "--clicks", "--action", "purchase"], "it predicts click, cart"),
        (["--user", "nobody", "--clicks"], "not known to the release"),
        (["--user", "u1", "--action", "cart"], "--clicks"),
    ],
)
def test_what_cannot_be_explained_is_named(lake: Lake, capsys, words: list[str], told: str) -> None:
    assert _run(["explain", "--root", str(lake.root), "--item", "i2", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_lake_without_a_click_ranker_says_how_to_get_one(tmp_path, capsys) -> None:
    lake = finished_run(tmp_path)
    assert _run(["explain", "--root", str(lake.root), "--user", "u1", "--item", "i1", "--clicks"]) == 2
    assert "impressions.enabled" in capsys.readouterr().err
