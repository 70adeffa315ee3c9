"""Stage train_ctr on two real ranks: killed at a checkpoint and run again, it ends in the same bytes."""

import pytest

from nightrank.feature_store.contracts.files import read_json
from tests.distributed.test_train import ended, stage
from tests.impression_lake import ctr_section, impression_lake, write_ctr_run

pytestmark = pytest.mark.distributed
TWO = {
    "launcher": "horovodrun",
    "workers": 2,
    "precision": "fp32",
    "checkpoint": {"every_steps": 3},
    "watchdog": {"timeout_seconds": 20, "startup_seconds": 120, "beat_seconds": 0.2},
}


def test_killed_at_a_checkpoint_and_run_again_ends_in_the_same_bytes(tmp_path):
    snapshot = impression_lake(tmp_path)
    ctr = ctr_section("mmoe", epochs=2)
    runs = {name: write_ctr_run(tmp_path, name, snapshot, ctr=ctr, trainer=TWO) for name in ("whole", "killed")}
    for name, failpoint, code in (("whole", "", 0), ("killed", "train.checkpoint.after", 6), ("killed", "", 0)):
        found, errors = ended(stage(runs[name], failpoint, "nightrank.trainer.stages.train_ctr"))
        assert found == code, errors
    first, second = (read_json(run / "stages" / "train_ctr.json")["output"]["ctr_training"] for run in runs.values())
    assert second["training"]["resumed_from"] == "ctr step 3" and first["training"]["resumed_from"] is None
    assert second["curves"] == first["curves"] and second["test"] == first["test"]
    assert second["model_files"]["live"] == first["model_files"]["live"]
    assert first["training"]["backend"] == "horovod-gloo"
    assert first["training"]["rows_read"] == [300, 300] and first["training"]["steps"] == [16, 16]
