"""The frappe_x1 benchmark on a handful of rows in its layout: what it writes, what it reads, what it refuses."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.accuracy.frappe import FIELDS, LABEL, main
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(1)
    for part, rows in (("train", 600), ("valid", 200), ("test", 200)):
        columns = {name: random.integers(100 * place, 100 * place + 9, rows) for place, name in enumerate(FIELDS)}
        label = (columns["user"] + columns["item"]) % 2
        pq.write_table(pa.table({LABEL: label, **columns}), tmp_path / f"frappe_x1_{part}.parquet")
    return tmp_path


def arguments(data, model, *more):
    small = ["--set", "epochs=2", "--set", "batch_rows=100"]
    return ["--model", model, "--data", str(data), "--precision", "fp32", *small, *more]


def test_it_writes_every_seed_their_mean_and_how_to_do_it_again(data):
    out = data / "out.json"
    result = main(arguments(data, "lr", "--seeds", "1", "2", "--out", str(out)))
    assert json.loads(out.read_text()) == json.loads(json.dumps(result))
    assert [run["seed"] for run in result["runs"]] == [1, 2]
    for part in ("valid", "test"):
        for name in ("auc", "log_loss"):
            assert result["mean"][part][name] == pytest.approx(np.mean([run[part][name] for run in result["runs"]]))
    assert result["runs"][0]["params"] == 10 * 10 + 1
    assert result["settings"]["model"]["name"] == "lr" and result["settings"]["epochs"] == 2
    assert result["rows"] == {"train": 600, "valid": 200, "test": 200}
    assert "--set epochs=2" in result["command"] and str(data) not in json.dumps(result)


def test_settings_are_chosen_without_the_test_rows(data):
    (data / "frappe_x1_test.parquet").unlink()
    result = main(arguments(data, "finalmlp", "--seeds", "1", "--without-test"))
    assert set(result["mean"]) == {"valid"}
    with pytest.raises(DataContractError, match=r"frappe_x1_test.parquet is not in the folder"):
        main(arguments(data, "lr"))


def test_an_unknown_model_or_key_is_named(data):
    with pytest.raises(ConfigError, match="there is no model nosuch"):
        main(arguments(data, "nosuch"))
    with pytest.raises(ConfigError, match=r"model.dnn.depth: Extra inputs"):
        main(arguments(data, "dnn", "--set", "model.depth=3"))
    with pytest.raises(ConfigError, match="din reads histories"):
        main(arguments(data, "din"))
