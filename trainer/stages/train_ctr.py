"""Stage `train_ctr`: a click ranker on the impressions of the run's snapshot, by the launcher of section `trainer`."""

from typing import Final

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.failpoints import failpoint
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.trainer.config.ctr import SECTION, CtrTrainerConfig
from nightrank.trainer.config.job import Job
from nightrank.trainer.ctr.pinned import impressions_in
from nightrank.trainer.launch import launch
from nightrank.trainer.stages.train import build_job

NAME: Final = "train_ctr"
LEFT: Final = "ctr_training"
"""Section of what the stage leaves."""


def run(context: StageContext) -> StageResult:
    """Train on all workers, from the seed on every run; done already if `R/train_ctr/result.json` stands there.

    DataContractError for a snapshot without impressions.
    """
    job = job_of(context)
    snapshot = load_snapshot(context.lake.snapshot(context.result_of("build_training_set").extra["snapshot"]["id"]))
    impressions_in(snapshot)
    if not job.result_path.exists():
        with context.commit():
            job.save()
        failpoint("train.launch.before")
        launch(job)
        failpoint("train.launch.after")
    left = read_json(job.result_path)
    parts = [part for name, part in snapshot.parts.items() if name.startswith("impression")]
    folder = context.root / left["model_files"]["live"]
    return StageResult(
        name=NAME,
        rows_in=sum(left["training"]["rows_read"]),
        bytes_read=sum(file.bytes for part in parts for file in part.files),
        bytes_written=sum(file.stat().st_size for file in folder.iterdir()),
        extra={LEFT: left},
    )


def job_of(context: StageContext) -> Job:
    """What the workers are told: the launcher's job, with section `ctr` for what is trained."""
    snapshot = context.lake.snapshot(context.result_of("build_training_set").extra["snapshot"]["id"])
    ctr = validate(CtrTrainerConfig, context.config.get(SECTION, {}))
    return build_job(context, snapshot, grows=False).model_copy(update={"ctr": ctr})


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
