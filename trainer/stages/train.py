"""Stage `train`: writes the job, launches the workers, hands on what they left."""

from pathlib import Path

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import NothingToDo, UsageError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.model_ref import load_model_ref
from nightrank.feature_store.contracts.process import this_process
from nightrank.feature_store.contracts.settings import SparkSettings, TextSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.trainer.config.job import Job, Parent
from nightrank.trainer.config.pretrained import with_architectures
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.launch import launch

NAME = "train"
KNOWN.update({"train.launch.before", "train.launch.after", "train.result.after"})


def run(context: StageContext) -> StageResult:
    """Train the run's snapshot on all workers; done already if `R/train/result.json` stands there."""
    path, snapshot = _snapshot(context)
    job = build_job(context, path)
    if not job.result_path.exists():
        with context.commit():
            job.save()
        failpoint("train.launch.before")
        launch(job)
        failpoint("train.launch.after")
    result = read_json(job.result_path)
    return StageResult(
        name=NAME,
        rows_in=sum(result["training"]["rows_read"]),
        bytes_read=sum(file.bytes for part in snapshot.parts.values() for file in part.files),
        bytes_written=_bytes_of(context.root, result["model_files"]),
        extra=result,
    )


def build_job(context: StageContext, snapshot: Path, grows: bool = True) -> Job:
    """Everything the workers are told. With `grows`, a night goes on from the champion: UsageError where there is none."""
    text = validate(TextSettings, context.config.get("text", {}))
    return Job(
        root=str(context.root.resolve()),
        run_id=context.run_id,
        kind="full" if context.kind == "full" else "nightly",
        date=context.day.isoformat(),
        seed=context.seed,
        attempt=context.attempt,
        fence=context.fence,
        snapshot=str(snapshot.resolve()),
        config=with_architectures(validate(TrainerConfig, context.config.get("trainer", {})), text),
        spark=validate(SparkSettings, context.config.get("spark", {})),
        parent=None if context.kind == "full" or not grows else _champion(context),
        text=text,
        launcher=this_process(),
    )


def _snapshot(context: StageContext) -> tuple[Path, DatasetSnapshot]:
    named = context.result_of("build_training_set").extra["snapshot"]
    path = context.lake.snapshot(named["id"])
    snapshot = load_snapshot(path)
    if snapshot.rows("train") == 0:
        raise NothingToDo(f"snapshot {snapshot.id[:12]} of {snapshot.date} has no training rows", "import more events")
    return path, snapshot


def _champion(context: StageContext) -> Parent:
    path = context.root / "champion.json"
    if not path.exists():
        raise UsageError("there is no champion to go on from", "run `nightrank full` first")
    ref = load_model_ref(path)
    return Parent(
        version=ref.version,
        bundle=ref.bundle,
        checkpoint=ref.checkpoint,
        lineage=ref.vocabulary_lineage,
        snapshot_id=ref.snapshot_id,
    )


def _bytes_of(root: Path, model_files: dict[str, str | None]) -> int:
    folders = [root / model_files[recommender] for recommender in ("measured", "live") if model_files.get(recommender)]  # type: ignore[operator]
    return sum(file.stat().st_size for folder in set(folders) for file in folder.iterdir())


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
