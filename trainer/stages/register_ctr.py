"""Stage `register_ctr`: the run's click bundle becomes a version of `<model_name>-ctr`, alias `champion`.

`LAKE/ctr.json` says which click ranker scores; the alias in MLflow follows it. There is no gate (docs/adr/0006).
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.champion import ALIAS as CHAMPION
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, ModelRef
from nightrank.feature_store.contracts.outputs.ctr import CtrFacts, CtrTraining, RegisteredCtr, TrainedCtr
from nightrank.feature_store.contracts.outputs.training_set import TrainingSet
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.feature_store.contracts.storage import local_folder
from nightrank.ranker.bundle.files import verify_manifest
from nightrank.ranker.ctr.bundle import CODES, read_ctr_info
from nightrank.trainer.ctr.logged_model import log_ctr_model
from nightrank.trainer.stages.register import create_version, find_version, logged_model
from nightrank.trainer.stages.train_ctr import NAME as TRAINED
from nightrank.trainer.tracking.runs import log_snapshot, stage_run
from nightrank.trainer.tracking.tracked import Point, curve_points, metric_name
from nightrank.trainer.tracking.tracker import Tracker
from nightrank.trainer.tracking.version_notes import ctr_notes_of

NAME: Final = "register_ctr"
KNOWN.update({"register_ctr.logged", "register_ctr.registered"})


def run(context: StageContext) -> StageResult:
    """The run's click bundle is one registered version, even after an interrupted attempt; `LAKE/ctr.json` names it.

    UsageError where train_ctr has not run. DependencyUnreachable leaves the bundle where it is.
    """
    if not context.has(TrainedCtr):
        raise UsageError(f"run {context.run_id} has trained no click ranker", f"run stage {TRAINED} first")
    trained = context.output(TrainedCtr).ctr_training
    folder = local_folder(context.root / trained.model_files.live)
    manifest = verify_manifest(folder, expected=folder.name, files=read_ctr_info(folder).files)
    with stage_run(context, NAME) as (found, mlflow_run):
        settings = found.settings.model_copy(update={"model_name": registered_name(found.settings.model_name)})
        tracker = replace(found, settings=settings)
        _log_training(context, tracker, trained)
        notes = ctr_notes_of(context.run_id, context.day.isoformat(), trained.training["model"], trained.test)
        version = find_version(context, tracker, manifest)
        if version is None:
            uri = logged_model(tracker, mlflow_run, manifest, lambda: log_ctr_model(mlflow_run, folder, manifest))
            failpoint(f"{NAME}.logged")
            with context.commit():
                version = create_version(context, tracker, mlflow_run, uri, manifest, notes)
        failpoint(f"{NAME}.registered")
        ref = _ref(context, tracker, mlflow_run, version, folder, trained)
        with context.commit():
            ref.save(context.root / CTR_MODEL)
            tracker.client.set_registered_model_alias(ref.name, CHAMPION, version)
    size = sum(file.stat().st_size for file in folder.iterdir())
    facts = CtrFacts(
        name=ref.name,
        version=ref.version,
        manifest_sha256=manifest,
        model=trained.training["model"],
        test=trained.test,
        dropped=trained.training.get("dropped"),
        features=trained.training.get("features"),
    )
    return StageResult(name=NAME, rows_out=1, bytes_read=size, output=RegisteredCtr(ctr=facts))


def registered_name(model_name: str) -> str:
    return f"{model_name}-ctr"


def _log_training(context: StageContext, tracker: Tracker, trained: CtrTraining) -> None:
    """Curves, figures and the snapshot are in the run of stage `train_ctr`, once."""
    run_id = tracker.run_of(context, TRAINED)
    if tracker.client.get_run(run_id).info.status == "FINISHED":
        return
    snapshot = context.output(TrainingSet).snapshot
    log_snapshot(tracker, run_id, context.lake.snapshot(snapshot.id), snapshot.id)
    tested = [Point(metric_name(f"ctr/test/{name}"), value, 0) for name, value in (trained.test or {}).items()]
    tracker.log_points(run_id, [*curve_points(trained.curves), *tested])
    facts = {key: str(value) for key, value in trained.training.items() if isinstance(value, (str, int, float))}
    tracker.log_params(run_id, facts)
    tracker.client.set_terminated(run_id, "FINISHED")


def _ref(
    context: StageContext, tracker: Tracker, mlflow_run: str, version: str, folder: Path, trained: CtrTraining
) -> ModelRef:
    info = read_ctr_info(folder)
    snapshot = load_snapshot(context.lake.snapshot(info.snapshot_id))
    return ModelRef(
        name=tracker.settings.model_name,
        version=int(version),
        alias=CHAMPION,
        mlflow_run_id=mlflow_run,
        manifest_sha256=folder.name,
        # Codes are fitted again on every run: the table of codes is the vocabulary.
        vocabulary_lineage=read_json(folder / "manifest.json")[CODES],
        vocabulary_items=next((field.size - 1 for field in info.shapes.fields if field.name == "item"), 0),
        snapshot_id=snapshot.id,
        run_id=context.run_id,
        date=context.day.isoformat(),
        bundle=trained.model_files.live,
        checkpoint=trained.model_files.checkpoint,
    )


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
