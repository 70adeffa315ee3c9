"""What an item of a history adds to a score is what the score loses without it: measured again, apart from how it was found."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from finished_run import finished_run, write_release

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.tables import INTERACTIONS, VOCABULARY
from nightrank.pipeline.cli import _run
from nightrank.pipeline.lists.explain import history_of, sentence
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.explained import effects
from nightrank.ranker.bundle.histories import History
from tests.evaluation_lake import bundle as stored

USERS = 200
TABLES = {"data": "interactions", "vocabulary": "vocabulary"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("explained")
    return load_bundle(root / stored(root, seed=1))


def score(bundle, items: list[str], item: str) -> float:
    batch = Batch.from_lists([[bundle.dense_ids[raw] for raw in items]], [[bundle.info.default_action] * len(items)])
    return float((bundle.user_vectors(batch) @ bundle.item_matrix.T)[0, bundle.dense_ids[item]])


def test_removing_the_named_item_lowers_the_score_more_than_removing_another(bundle):
    draw = np.random.default_rng(17)
    longest = bundle.info.ranker.encoder.max_length
    better = 0
    for _ in range(USERS):
        items = [f"i{n}" for n in draw.choice(np.arange(1, 41), min(longest, 6), replace=False)]
        wanted = next(name for name, _ in bundle.recommend(items, 1))
        whole, found = effects(bundle, History(items), wanted)
        assert whole == pytest.approx(score(bundle, items, wanted), abs=1e-4)
        named, other = found[0][0], found[1 + int(draw.integers(len(found) - 1))][0]
        without = [score(bundle, [raw for raw in items if raw != gone], wanted) for gone in (named, other)]
        better += without[0] <= without[1]
    assert better >= 0.8 * USERS, f"{better} of {USERS}"


def test_all_events_of_an_item_go_together_and_unknown_ones_are_left_out(bundle):
    _, found = effects(bundle, History(["i1", "nothing", "i2", "i1"]), "i9")
    assert {name for name, _ in found} == {"i1", "i2"}
    assert dict(found)["i1"] == pytest.approx(score(bundle, ["i1", "i2", "i1"], "i9") - score(bundle, ["i2"], "i9"), abs=1e-4)
    _, alone = effects(bundle, History(["i1"]), "i9")
    assert alone[0][1] == pytest.approx(score(bundle, ["i1"], "i9"), abs=1e-4), "without a history the score is 0"
    with pytest.raises(UsageError, match="does not know item 'nothing'"):
        effects(bundle, History(["i1"]), "nothing")
    with pytest.raises(UsageError, match="no item of this history"):
        effects(bundle, History(["nothing"]), "i9")


def test_the_command_reads_the_history_that_the_lists_were_made_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lake = finished_run(tmp_path / "lake")
    found = load_bundle(lake.root.path / stored(lake.root.path, seed=1))
    release = delta_read.releases(lake)[0]
    day = int(datetime.fromisoformat(release.date).replace(tzinfo=UTC).timestamp()) * 1_000_000
    view, late, other = (7, day + 5, 2), (9, day + 86_400_000_000, 2), (8, day + 6, 1)
    rows = [
        {"user": 1, "item": item, "action": action, "event_time": time, "availability_time": time, "event_id": f"{item}"}
        for item, time, action in (view, late, other)
    ]
    write(lake, INTERACTIONS, [*rows, {**rows[0], "item": 3, "event_time": day, "availability_time": day, "event_id": "x"}])
    words = [{"kind": "user", "raw_id": "u1", "dense_id": 1}]
    write(lake, VOCABULARY, words + [{"kind": "item", "raw_id": f"i{n}", "dense_id": n} for n in range(1, 41)])
    versions = {f"{name}_version": delta_read.table_version(lake, table) for name, table in TABLES.items()}
    release = release.model_copy(update={"manifest_sha256": found.manifest_sha256, "fence": 2, **versions})
    write_release(lake, release)
    assert history_of(lake, release, "u1") == (["i3", "i7"], [day, day + 5], ["view", "view"])
    assert _run(["explain", "--root", str(lake.root), "--user", "u1", "--item", "i20", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    whole, expected = effects(found, History(["i3", "i7"], [day, day + 5], ["view", "view"]), "i20")
    assert answer["score"] == pytest.approx(whole)
    assert [(row["item_id"], pytest.approx(row["effect"])) for row in answer["effects"]] == expected
    assert _run(["explain", "--root", str(lake.root), "--user", "nobody", "--item", "i20"]) == 2
    assert _run(["explain", "--root", str(lake.root), "--user", "u1", "--item", "nothing"]) == 2


def write(lake, table, rows) -> None:
    full = [{name: row.get(name) for name in table.schema.names} for row in rows]
    write_deltalake(str(lake.table(table.name)), pa.Table.from_pylist(full, table.schema), mode="overwrite")


def test_the_sentence_names_two_items_that_raise_the_score_at_most():
    found = ((1, "A", 0.5), (2, None, 0.1), (3, "C", 0.05))
    rows = [{"item_id": f"i{n}", "title": title, "effect": effect} for n, title, effect in found]
    assert sentence("T", 2.0, rows) == "“T” is recommended because of “A” and “i2”."
    assert sentence("T", -2.0, rows[:1]) == "“T” is recommended because of “A”."
    assert sentence("T", 2.0, [{**rows[0], "effect": 0.01}]).startswith("“T” is recommended for the history as a whole")
