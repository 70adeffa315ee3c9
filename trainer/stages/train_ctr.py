"""Stage `train_ctr`: a click ranker on the impressions of the run's snapshot, by the launcher of section `trainer`."""

from typing import Final

from nightrank.feature_store.contracts.outputs.ctr import CtrTraining, TrainedCtr
from nightrank.feature_store.contracts.outputs.training_set import TrainingSet
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.trainer.config.ctr import SECTION, CtrTrainerConfig
from nightrank.trainer.config.job import Job
from nightrank.trainer.ctr.pinned import impressions_in
from nightrank.trainer.stages.train import build_job, trained

NAME: Final = "train_ctr"


def run(context: StageContext) -> StageResult:
    """Train on all workers, from the seed on every run; done already if `R/train_ctr/result.json` answers this very job.

    DataContractError for a snapshot without impressions.
    """
    job = job_of(context)
    snapshot = load_snapshot(context.lake.snapshot(context.output(TrainingSet).snapshot.id))
    impressions_in(snapshot)
    left = CtrTraining.model_validate(trained(context, job))
    parts = [part for name, part in snapshot.parts.items() if name.startswith("impression")]
    folder = context.root / left.model_files.live
    return StageResult(
        name=NAME,
        rows_in=sum(left.training["rows_read"]),
        bytes_read=sum(file.bytes for part in parts for file in part.files),
        bytes_written=sum(file.size for file in folder.children()),
        output=TrainedCtr(ctr_training=left),
    )


def job_of(context: StageContext) -> Job:
    """What the workers are told: the launcher's job, with section `ctr` for what is trained."""
    snapshot = context.lake.snapshot(context.output(TrainingSet).snapshot.id)
    ctr = context.section(SECTION, CtrTrainerConfig)
    return build_job(context, snapshot, NAME).model_copy(update={"ctr": ctr})


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
