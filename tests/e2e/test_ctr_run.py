"""Named click rankers: trained, interrupted, resumed, registered in a real MLflow, loaded as pyfunc, scored as Spark does."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, load_model_ref
from nightrank.feature_store.contracts.stage import load_context, run_stage
from nightrank.ranker.ctr.bundle import load_ctr_bundle
from nightrank.spark_jobs.executor.ctr_score import KEPT, CtrRules, ctr_scorer
from nightrank.trainer.config.ctr import load_ctr_config
from nightrank.trainer.ctr.session import train_ctr
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.stages import register_ctr as registry
from nightrank.trainer.stages import train_ctr as stage
from nightrank.trainer.tracking import tracker
from tests import ctr_feature_lake as features
from tests.impression_lake import ALONE, ctr_section, impression_lake, write_ctr_run
from tests.isolated_model import predicted_elsewhere
from tests.training_jobs import CPU
from tests.unit.test_ctr_stage import Interrupted, StopsAt

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
MODELS = ROOT / "conf" / "models" / "ctr"
NARROW = {
    "ctr_lr": ["model.name=lr"],
    "ctr_dnn": ["model.width=4", "model.hidden=[8, 6]"],
    "dcnv2": ["model.width=4", "model.crosses=2", "model.hidden=[8]"],
    "din": ["model.width=4", "model.attention=[6]", "model.hidden=[8]"],
    "finalmlp": ["model.width=4", "model.first.hidden=[8]", "model.second.hidden=[6]", "model.heads=2"],
    "mmoe": ["model.width=4", "model.experts=2", "model.expert_hidden=[6]", "model.tower_hidden=[4]"],
}
ROWS = pd.DataFrame(
    {
        "user": ["user 01", "user 08", "nobody", None],
        "item": ["item 02", "item 12", "item 02", "item 03"],
        "hour": ["hour 01", "hour 03", "hour 02", "hour 02"],
        "price": [1.0, None, -3.0, 20.0],
        "history": [["item 01", "item 02"], [], ["unheard of", "item 05"], None],
    }
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("lake")
    return root, impression_lake(root)


def trained(context):
    """Interrupted once on the way; then the stage finds its result, as it would after its own workers."""
    job = stage.job_of(context)
    for progress in (StopsAt(5), Progress()):
        try:
            body = train_ctr(job, SingleProcess(), progress, CPU, time.monotonic())
        except Interrupted:
            continue
    job.result_path.parent.mkdir()
    job.result_path.write_text(json.dumps({**body, "answer": job.answer}))
    return run_stage(stage.NAME, stage.run, context)


@pytest.mark.parametrize("name", sorted(path.stem for path in MODELS.glob("*.yaml")))
def test_from_rows_to_scores(lake, tmp_path, name):
    import mlflow

    root, snapshot = lake
    config = load_ctr_config([MODELS / f"{name}.yaml"], [*NARROW[name], "batch_rows=60", "epochs=2"])
    trainer = {**ALONE, "checkpoint": {"every_steps": 2}}
    run_dir = write_ctr_run(root, f"full-{name}", snapshot, ctr=config.model_dump(), trainer=trainer)
    context = load_context(run_dir)
    with pytest.raises(UsageError, match="has trained no click ranker"):
        registry.run(context)
    left = trained(context).output.sections["ctr_training"]
    assert left["training"]["resumed_from"] == "ctr step 4"
    registered = registry.run(context)
    ref = load_model_ref(root / CTR_MODEL)
    assert (ref.name, ref.alias, ref.snapshot_id, ref.run_id) == ("nightrank-ctr", "champion", snapshot.id, context.run_id)
    section = registered.output.sections["ctr"]
    assert section["test"] == left["test"] and section["version"] == ref.version
    assert registry.run(context).output == registered.output, "registering again finds the same version"
    bundle = load_ctr_bundle(root / ref.bundle, ref.manifest_sha256)
    wanted = bundle.predict(pa.Table.from_pandas(ROWS)).numpy()
    assert wanted.shape == (4, 2) and len(np.unique(wanted)) > 4 and ((wanted > 0) & (wanted < 1)).all()
    with tracker.tracker_of(context) as opened:
        run = opened.client.get_run(opened.find_run(context, stage.NAME))
        assert run.data.metrics["ctr/test/cart/auc"] == left["test"]["cart/auc"]
        assert run.data.params["model"] == bundle.ranker.config.name
        model = mlflow.pyfunc.load_model(f"models:/nightrank-ctr/{ref.version}")
        found = model.predict(ROWS)
        assert list(found.columns) == ["click", "cart"] and found.to_numpy() == pytest.approx(wanted, abs=1e-6)
        with pytest.raises(Exception, match=r"missing inputs \['hour'\]"):
            model.predict(ROWS.drop(columns="hour"))
    numbers = [[None if x != x else x] for x in ROWS["price"]]
    assert scored_as_spark_does(root / ref.bundle, ref.manifest_sha256, ROWS, ("price",), numbers) == pytest.approx(
        wanted, abs=1e-6
    )
    with pytest.raises(DataContractError, match=r"impressions without the number price"):
        bundle.predict(pa.Table.from_pandas(ROWS.drop(columns="price")))


def scored_as_spark_does(folder, manifest, rows, numeric, numbers):
    """[B, A] by the executor's own function, fed a batch as Spark would."""
    fields, count = ("user", "item", "hour"), len(rows)
    columns = {name: pa.array(["x"] * count) for name in KEPT if name != "rank"} | {"rank": pa.array([1] * count, pa.int32())}
    columns["fields"] = pa.array(rows[list(fields)].to_numpy().tolist(), pa.list_(pa.string()))
    columns["numeric"] = pa.array(numbers, pa.list_(pa.float32()))
    columns["history"] = pa.array([[] if past is None else list(past) for past in rows["history"]], pa.list_(pa.string()))
    (found,) = ctr_scorer(CtrRules(str(folder), manifest, fields, numeric))(iter([pa.RecordBatch.from_pydict(columns)]))
    return np.array([[value for _, value in row] for row in found.column("scores").to_pylist()])


def test_it_loads_with_mlflow_torch_pyarrow_and_safetensors_alone(lake, tmp_path):
    """The newest version of the tests above, in a process that may import none of our engines."""
    root, _ = lake
    ref = load_model_ref(root / CTR_MODEL)
    rows, uri = ROWS.iloc[:3].fillna(0.0).to_dict("records"), f"sqlite:///{root}/mlflow/mlflow.db"
    told = predicted_elsewhere(uri, ["models:/nightrank-ctr@champion"], rows, tmp_path)
    (got,) = told["answers"]
    wanted = load_ctr_bundle(root / ref.bundle).predict(pa.Table.from_pandas(ROWS.iloc[:3].fillna(0.0))).numpy()
    assert np.array([list(row.values()) for row in got["rows"]]) == pytest.approx(wanted, abs=1e-6)
    assert not told["ranker"].startswith(str(ROOT))


def test_a_ranker_that_reads_features_is_served_as_executors_score(tmp_path):
    """Executors are given the numbers that the rows were written with; the registered model looks them up."""
    import mlflow

    torch.set_num_threads(1)
    snapshot = features.feature_lake(tmp_path)
    trainer = {**ALONE, "checkpoint": {"every_steps": 2}}
    context = load_context(write_ctr_run(tmp_path, "full-features", snapshot, ctr=ctr_section("din"), trainer=trainer))
    assert trained(context).output.sections["ctr_training"]["training"]["resumed_from"] == "ctr step 4"
    assert registry.run(context).output.sections["ctr"]["features"]["names"]["user"] == ["count_3d", "age_days"]
    ref = load_model_ref(tmp_path / CTR_MODEL)
    stored, sent = features.rows_of("test"), features.raw_rows("test").to_pandas()
    numbers = stored["numeric"].to_pylist()
    wanted = scored_as_spark_does(tmp_path / ref.bundle, ref.manifest_sha256, sent, features.NUMERIC, numbers)
    with tracker.tracker_of(context):
        model = mlflow.pyfunc.load_model(f"models:/nightrank-ctr/{ref.version}")
        names = model.metadata.get_input_schema().input_names()
        assert names == ["user", "item", "hour", "price", "event_time", "history"]
        assert model.predict(sent).to_numpy() == pytest.approx(wanted, abs=1e-6)
        stamps = sent.assign(event_time=pd.to_datetime(sent["event_time"], unit="us", utc=True))
        assert model.predict(stamps).to_numpy() == pytest.approx(wanted, abs=1e-6)
        with pytest.raises(Exception, match=r"missing inputs \['event_time'\]"):
            model.predict(sent.drop(columns="event_time"))
