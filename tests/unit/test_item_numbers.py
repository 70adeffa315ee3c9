"""Numbers of items: from a file into landing, and from a snapshot through training into a night."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.feature_settings import FeatureSettings
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import checked
from nightrank.feature_store.contracts.snapshot import Normalisation
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.spark_jobs.sources.imports import import_data
from nightrank.trainer.worker.phases import train
from tests.snapshots import write_part
from tests.training_jobs import ITEMS, job_of, parent_of, training_of
from tests.training_lake import leave_one_out, synthetic_sequences, write_snapshot

MAPPING = """events: {path: e.csv, columns: {user_id: u, item_id: i, event_time: t}}
items: {path: i.jsonl, columns: {item_id: i, title: n, numbers: NUMBERS}}
"""
KNOWN = Normalisation(numeric=("kg", "kg_missing"), mean=(1.0, 0.0), std=(2.0, 1.0))


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "e.csv").write_text("u,i,t\na,x,2024-01-05\n")
    (tmp_path / "i.jsonl").write_text(
        '{"i": "x", "n": "X", "size": {"kg": 1.5}, "min": "9"}\n{"i": "y", "n": "Y", "min": "NaN"}\n'
    )
    return tmp_path


def landed_items(shop, numbers):
    (shop / "m.yaml").write_text(MAPPING.replace("NUMBERS", numbers))
    lake = Lake(shop / "lake")
    counts = import_data("events", shop, lake.root, mapping=shop / "m.yaml", progress=lambda line: None)
    (path,) = lake.landing("items").glob("day=*/*.parquet")
    assert checked(lake, "items", lake.landing_days("items")).rows == 2
    return counts, pq.ParquetFile(path).read()


def test_named_columns_of_numbers_land_as_a_map_and_a_missing_one_is_null(shop):
    _, table = landed_items(shop, "[size.kg, min]")
    assert [dict(row) for row in table["numbers"].to_pylist()] == [{"size.kg": 1.5, "min": 9.0}, {"size.kg": None, "min": None}]
    assert table["fields"].to_pylist() == [["title", "numbers"]] * 2


def test_a_catalogue_without_numbers_lands_the_file_that_it_always_was(shop):
    _, table = landed_items(shop, "[]")
    assert table.column_names == [name for name in schemas.LANDING_ITEMS.names if name != "numbers"]


def test_the_price_is_no_further_number():
    with pytest.raises(ValueError, match=r"features\.numbers names price"):
        FeatureSettings(numbers=("price",))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Items whose number says where on the walk they stand, and ids that a ranker is not given."""
    root = tmp_path_factory.mktemp("lake")
    plain = write_snapshot(root, leave_one_out(synthetic_sequences(100, ITEMS)), ITEMS, 100, rows_per_file=50)
    return root, with_numbers(root, plain, KNOWN)


def with_numbers(root, snapshot, constants):
    walk = np.linspace(-1.7, 1.7, snapshot.items, dtype=np.float32)
    rows = [{"item": i, "category_codes": [], "numeric": [float(walk[i - 1]), 0.0]} for i in range(1, snapshot.items + 1)]
    part = write_part(root, "item_inputs", pa.Table.from_pylist(rows, schema=schemas.ITEM_INPUTS), [[len(rows)]])
    made = snapshot.model_copy(update={"parts": {**snapshot.parts, "items": part}, "normalisation": constants})
    made.save(root / "snapshots" / f"{made.id}.json")
    return made


@pytest.mark.parametrize("encoder", ["transformer", "towers"])
def test_a_ranker_learns_from_numbers_alone_and_a_night_goes_on_with_them(lake, encoder):
    root, snapshot = lake
    model = {"encoder": {"name": encoder}, "item": {"use_id": False}}
    training = training_of(job_of(root, snapshot, {"model": model}, run_id=f"full-{encoder}"))
    state = train(training)
    bundle = load_bundle(root / "models" / state.bundles["live"])
    assert [tuple(vars(each).values()) for each in bundle.info.item_numbers] == [("kg", 1.0, 2.0), ("kg_missing", 0.0, 1.0)]
    vectors = bundle.item_matrix
    assert 0 < (vectors[1] - vectors[2]).norm() < (vectors[1] - vectors[ITEMS]).norm()
    parent = parent_of(training, state)
    night = train(training_of(job_of(root, snapshot, {"model": model}, run_id="night", kind="nightly", parent=parent)))
    assert load_bundle(root / "models" / night.bundles["live"]).info.item_numbers == bundle.info.item_numbers
    other = with_numbers(root, snapshot, KNOWN.model_copy(update={"numeric": ("cm", "cm_missing")}))
    with pytest.raises(DataContractError, match=r"item features .* do not extend those of the champion's"):
        training_of(job_of(root, other, {"model": model}, run_id="other", kind="nightly", parent=parent))
