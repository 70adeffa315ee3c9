"""Stage `train`: writes the job, launches the workers, passes on what they left."""

from typing import Any

from nightrank.feature_store.contracts.errors import DataContractError, NothingToDo, UsageError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.fingerprint import fingerprint_of
from nightrank.feature_store.contracts.outputs.trained import ModelFiles, Trained
from nightrank.feature_store.contracts.outputs.training_set import TrainingSet
from nightrank.feature_store.contracts.process import this_process
from nightrank.feature_store.contracts.settings import SparkSettings, TextSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Parent, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.feature_store.contracts.storage import Location
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.pretrained import with_architectures
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.launch import launch

NAME = "train"
KNOWN.update({"train.launch.before", "train.launch.after", "train.result.after"})


def run(context: StageContext) -> StageResult:
    """Train the run's snapshot on all workers; done already if `R/train/result.json` answers this very job."""
    path, snapshot = _snapshot(context)
    job = build_job(context, path)
    result = Trained.model_validate(trained(context, job))
    return StageResult(
        name=NAME,
        rows_in=sum(result.training["rows_read"]),
        bytes_read=sum(file.bytes for part in snapshot.parts.values() for file in part.files),
        bytes_written=_bytes_of(context.root, result.model_files),
        output=result,
    )


def trained(context: StageContext, job: Job) -> dict[str, Any]:
    """What the workers left for this job: a result that stands already, or the one they make now."""
    if result_of(job) is None:
        with context.commit():
            job.save()
        failpoint("train.launch.before")
        launch(job)
        failpoint("train.launch.after")
    result = result_of(job)
    if result is None:
        raise DataContractError(f"{job.result_path} is not the result of this training", "give the same command again")
    return result


def result_of(job: Job) -> dict[str, Any] | None:
    """The result on disk if it belongs to this job; None for one of another configuration, data or repetition."""
    if not job.result_path.exists():
        return None
    body: dict[str, Any] = read_json(job.result_path)
    answer = body.pop("answer", None)
    return body if answer == job.answer else None


def build_job(context: StageContext, snapshot: Location, name: str = NAME) -> Job:
    """Everything that the workers are given. A night's rankers of lists grow from the champion that its snapshot pins."""
    text = context.section("text", TextSettings)
    return Job(
        root=str(context.root),
        run_id=context.run_id,
        kind="full" if context.kind == "full" else "nightly",
        date=context.day.isoformat(),
        seed=context.seed,
        attempt=context.attempt,
        fence=context.fence,
        snapshot=str(snapshot),
        config=with_architectures(context.section("trainer", TrainerConfig), text),
        spark=context.section("spark", SparkSettings),
        parent=None if context.kind == "full" or name != NAME else _parent(context, load_snapshot(snapshot)),
        fingerprint=fingerprint_of(context, name),
        repetition=context.repetition(name),
        text=text,
        launcher=this_process(),
    )


def _snapshot(context: StageContext) -> tuple[Location, DatasetSnapshot]:
    path = context.lake.snapshot(context.output(TrainingSet).snapshot.id)
    snapshot = load_snapshot(path)
    if snapshot.rows("train") == 0:
        raise NothingToDo(f"snapshot {snapshot.id[:12]} of {snapshot.date} has no training rows", "import more events")
    return path, snapshot


def _parent(context: StageContext, snapshot: DatasetSnapshot) -> Parent:
    """What the night's snapshot pins. UsageError where it pins none: it was built before there was a champion."""
    if snapshot.parent is None:
        context.lake.expect_champion()
        raise UsageError(f"snapshot {snapshot.id[:12]} has no parent", "run stage build_training_set of this run again")
    return snapshot.parent


def _bytes_of(root: Location, files: ModelFiles) -> int:
    return sum(file.size for folder in files.bundles for file in (root / folder).children())


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
