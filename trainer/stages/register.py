"""Stage `register`: the live bundle becomes a version of the registered model, alias `challenger`. Also promotes.

`LAKE/champion.json` says which model is champion; the aliases in MLflow follow it (`trainer.tracking.aliases`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.champion import ALIAS as CHAMPION
from nightrank.feature_store.contracts.champion import replace_champion
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.outputs.registered import ModelFacts, Registered
from nightrank.feature_store.contracts.outputs.trained import Trained
from nightrank.feature_store.contracts.outputs.training_set import TrainingSet
from nightrank.feature_store.contracts.ranker_facts import ranker_facts
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.feature_store.contracts.storage import local_folder
from nightrank.ranker.bundle.files import BundleInfo, read_info, verify_manifest
from nightrank.trainer.tracking.aliases import CHALLENGER, reconcile
from nightrank.trainer.tracking.lake_address import LAKE, lake_key
from nightrank.trainer.tracking.logged_model import log_model
from nightrank.trainer.tracking.runs import log_snapshot, stage_run
from nightrank.trainer.tracking.tracked import curve_points
from nightrank.trainer.tracking.tracker import MANIFEST, RUN, Tracker, tracker_of
from nightrank.trainer.tracking.version_notes import MODEL_NOTE, VersionNotes, notes_of

NAME: Final = "register"
KNOWN.update({"register.logged", "register.registered", "promote.written"})


def run(context: StageContext) -> StageResult:
    """The run's live bundle is one registered version, even after an interrupted attempt; `model_ref.json` names it.

    DependencyUnreachable leaves the bundle where it is: the same command registers it later.
    """
    reconcile(context)
    trained = context.output(Trained)
    folder = local_folder(context.root / trained.model_files.live)
    manifest = verify_manifest(folder, expected=folder.name)
    facts = ranker_facts(read_info(folder).ranker.model_dump(mode="json"))
    notes = notes_of(context.run_id, context.day.isoformat(), facts)
    with stage_run(context, NAME) as (tracker, mlflow_run):
        _log_training(context, tracker, trained)
        version = find_version(context, tracker, manifest)
        if version is None:
            uri = logged_model(tracker, mlflow_run, manifest, lambda: log_model(mlflow_run, folder, manifest))
            failpoint("register.logged")
            with context.commit():
                version = create_version(context, tracker, mlflow_run, uri, manifest, notes)
        failpoint("register.registered")
        with context.commit():
            tracker.client.set_registered_model_alias(tracker.settings.model_name, CHALLENGER, version)
        ref = _ref(context, tracker, mlflow_run, version, read_info(folder), manifest, trained)
    with context.commit():
        ref.save(context.run_dir / "model_ref.json")
    model = ModelFacts(name=ref.name, version=ref.version, manifest_sha256=manifest, **facts)
    return StageResult(name=NAME, rows_out=1, bytes_read=_bytes_of(folder), output=Registered(model=model))


def promote(context: StageContext, ref: ModelRef, over: str | None) -> None:
    """`ref` is champion in place of the one with manifest `over`: `LAKE/champion.json` says so, then the aliases follow.

    DependencyUnreachable before either; ConflictError where another champion stands than the one it was compared with.
    """
    with tracker_of(context) as tracker, context.commit():
        replace_champion(context, ref, over)
        failpoint("promote.written")
        tracker.client.set_registered_model_alias(ref.name, CHAMPION, str(ref.version))
    reconcile(context)


def _log_training(context: StageContext, tracker: Tracker, trained: Trained) -> None:
    """Curves, figures and the snapshot are in the run of stage `train`, once."""
    run_id = tracker.run_of(context, "train")
    if tracker.client.get_run(run_id).info.status == "FINISHED":
        return
    snapshot = context.output(TrainingSet).snapshot
    log_snapshot(tracker, run_id, context.lake.snapshot(snapshot.id), snapshot.id)
    tracker.log_points(run_id, curve_points(trained.curves))
    facts = {key: value for key, value in trained.training.items() if isinstance(value, (str, int, float))}
    tracker.log_params(run_id, {key: str(value) for key, value in facts.items()})
    tracker.client.set_terminated(run_id, "FINISHED")


def find_version(context: StageContext, tracker: Tracker, manifest: str) -> str | None:
    """The version this run registered for this bundle before, if any."""
    wanted = {RUN: context.run_id, MANIFEST: manifest, LAKE: lake_key(context.lake)}
    found = tracker.versions(tracker.settings.model_name, wanted)
    return str(max(int(version.version) for version in found)) if found else None


def logged_model(tracker: Tracker, mlflow_run: str, manifest: str, log: Callable[[], str]) -> str:
    """URI of the logged model of this bundle: one that an earlier attempt left whole, or the one that `log` makes."""
    where = f"tags.`{MANIFEST}` = '{manifest}' and source_run_id = '{mlflow_run}'"
    for model in tracker.client.search_logged_models([tracker.experiment_id], where):
        if str(model.status) == "READY":
            return f"models:/{model.model_id}"
    return log()


def create_version(
    context: StageContext, tracker: Tracker, mlflow_run: str, uri: str, manifest: str, notes: VersionNotes
) -> str:
    from mlflow.exceptions import MlflowException

    name = tracker.settings.model_name
    try:
        tracker.client.create_registered_model(name, description=MODEL_NOTE)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {RUN: context.run_id, MANIFEST: manifest, LAKE: lake_key(context.lake), "nightrank.date": context.day.isoformat()}
    created = tracker.client.create_model_version(
        name,
        uri,
        run_id=mlflow_run,
        tags=tags | notes.tags,
        model_id=uri.removeprefix("models:/"),
        description=notes.description,
    )
    return str(created.version)


def _ref(
    context: StageContext,
    tracker: Tracker,
    mlflow_run: str,
    version: str,
    info: BundleInfo,
    manifest: str,
    trained: Trained,
) -> ModelRef:
    snapshot = context.output(TrainingSet).snapshot
    if info.snapshot_id != snapshot.id:
        raise DataContractError(
            f"the live bundle was made from snapshot {info.snapshot_id[:12]}, the run's is {snapshot.id[:12]}",
            "run stage train again",
        )
    return ModelRef(
        name=tracker.settings.model_name,
        version=int(version),
        alias=CHALLENGER,
        mlflow_run_id=mlflow_run,
        manifest_sha256=manifest,
        vocabulary_lineage=info.lineage,
        vocabulary_items=info.items,
        snapshot_id=info.snapshot_id,
        run_id=context.run_id,
        date=context.day.isoformat(),
        parent_version=trained.parent_version,
        text_encoder=info.text_encoder,
        text_revision=info.text_revision,
        bundle=trained.model_files.live,
        checkpoint=trained.model_files.checkpoint,
    )


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
