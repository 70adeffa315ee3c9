"""A lake and a list of stages that are real processes and do next to nothing, for tests of the runner alone."""

import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.stages import Stage

DAY = date(2024, 1, 1)

STAGE_FILE = """
import os, signal, sys, time
from pathlib import Path
from nightrank.feature_store.contracts import errors
from nightrank.feature_store.contracts.outputs.output import OtherOutput
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main

def run(context: StageContext) -> StageResult:
    with open(context.root / "trace", "a") as trace:
        trace.write(f"{name} {{context.run_id}} {{context.fence}}\\n")
    {body}
    counts = {{"events": 1, "quarantined": {{"nan_value": 2}}}}
    return StageResult("{name}", rows_out=3, counts=counts, output=OtherOutput(**{extra}))

if __name__ == "__main__":
    raise SystemExit(stage_main("{name}", run))
"""


def landed_lake(root: Path, days: int = 3) -> Lake:
    lake = Lake(root)
    write_json(lake.landing_meta_path, {"clock": "real", "id_type": "string", "source": "test"})
    for number in range(days):
        folder = lake.landing_day("events", date.fromordinal(DAY.toordinal() + number))
        folder.mkdir()
        row = dict.fromkeys(schemas.LANDING_EVENTS.names) | {"user_id": "u", "item_id": "i", "action": "view"}
        pq.write_table(pa.Table.from_pylist([row], schemas.LANDING_EVENTS), folder / "part-0.parquet")
    return lake


def write_stage(folder: Path, name: str, body: str = "pass", extra: str = "{}") -> Stage:
    """A stage of its own module; `body` is one statement, inside `run`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"fake_{name}.py").write_text(STAGE_FILE.format(name=name, body=body, extra=extra))
    return Stage(name, f"fake_{name}", "plain")


def request_for(lake: Lake, kind: str = "full", day: date = DAY, *, redo: bool = False, **config: object) -> RunRequest:
    return RunRequest(lake.root, kind, day, Configuration.from_run({"seed": 5, **config}), redo)


def trace(lake: Lake) -> list[str]:
    """Names of the stages that were entered, in order."""
    path = lake.root / "trace"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def result_of(lake: Lake, run_id: str) -> dict[str, object]:
    return dict(read_json(lake.run_dir(run_id) / "result.json"))


def import_stages_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, from which processes of a run import stages, and nightrank from this checkout."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(__file__).parents[2])]))
    return folder
