"""Every named model as MLflow has it: logged, loaded where only what it names may be imported, listing as its bundle does."""

import mlflow
import pytest

from nightrank.feature_store.contracts.config import overlay, validate
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.trainer.config.pretrained import user_folder, with_architectures
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.tracking.logged_model import MORE, log_model
from tests.isolated_model import predicted_elsewhere
from tests.named_models import NAMES, small
from tests.text_models import text_inputs, tiny_bert
from tests.training_jobs import ITEMS, SMALL

pytestmark = pytest.mark.e2e
USERS = 20
ROWS = [{"history": ["i3", "i7", "i9"], "k": 4}, {"history": ["i1"], "k": 2}, {"history": ["nobody knows this"], "k": 2}]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """(tracking URI, {name: (URI of the logged model, folder of its bundle, packages it brings)})."""
    folder, bert = tmp_path_factory.mktemp("models"), tiny_bert(tmp_path_factory.mktemp("bert"))
    text, known, result = TextSettings(encoder=str(bert)), text_inputs(bert, ITEMS, USERS), {}
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("named", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("named")
    for name in NAMES:
        config = with_architectures(validate(TrainerConfig, overlay(SMALL, small(name))), text)
        started_from = user_folder(config.model, text)
        ranker = compose(config.model, known, 1, text_encoder=bert, user_encoder=started_from)
        raw = [f"i{item}" for item in range(1, ITEMS + 1)]
        bundle = folder / store_bundle(folder, ranker, raw, snapshot_id="s", lineage="l", default_action=1)
        with mlflow.start_run(run_name=name) as run:
            pass
        result[name] = (log_model(run.info.run_id, bundle, bundle.name), bundle, MORE.get(config.model.encoder.name, ()))
    yield f"sqlite:///{folder}/mlflow.db", result
    mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("packages", sorted({(), *MORE.values()}), ids="+".join)
def test_a_named_model_loads_from_mlflow_with_what_it_names_alone(logged, packages, tmp_path):
    uri, models = logged
    mine = {name: (address, bundle) for name, (address, bundle, brings) in models.items() if brings == packages}
    assert mine, "conf/models has a model of each kind"
    told = predicted_elsewhere(uri, [address for address, _ in mine.values()], ROWS, tmp_path, packages)
    for (name, (_, folder)), answer in zip(mine.items(), told["answers"], strict=True):
        bundle = load_bundle(folder)
        wanted = [
            (row, rank, item, pytest.approx(score, abs=1e-4))
            for row, request in enumerate(ROWS)
            for rank, (item, score) in enumerate(bundle.recommend(request["history"], request["k"]), 1)
        ]
        assert [tuple(row.values()) for row in answer["rows"]] == wanted, name
        assert len(wanted) == 8
