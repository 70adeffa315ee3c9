"""The pinned loss curve: what a fixed seed gives in fp32 on one process. `python -m tests.golden.curve` writes it anew."""

import tempfile
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.trainer.worker.phases import train
from tests.training_jobs import job_of, small_lake, training_of

PATH = Path(__file__).parent / "loss_curve.json"


def measured(root: Path) -> dict[str, Any]:
    """Losses, learning rates and validations of a small full run, by phase."""
    state = train(training_of(job_of(root, small_lake(root), run_id="golden")))
    return {name: curve.model_dump() for name, curve in state.curves.items()}


def pinned() -> dict[str, Any]:
    body: dict[str, Any] = read_json(PATH)
    return body


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write_json(PATH, measured(Path(folder)))
