"""Which bundles a run measures: its own, the champion's, and that of the last full run."""

from pathlib import Path
from typing import Literal

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.outputs.trained import Trained
from nightrank.feature_store.contracts.outputs.training_set import TrainingSet
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location, local_folder
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.evaluation.recommenders import BundleRecommender


def run_snapshot(context: StageContext) -> DatasetSnapshot:
    """The snapshot that stage build_training_set of this run published."""
    return load_snapshot(context.lake.snapshot(context.output(TrainingSet).snapshot.id))


def run_bundle(context: StageContext, phase: Literal["measured", "live"]) -> BundleRecommender | None:
    """The bundle stage train left for the phase; None where it made none."""
    files = context.output(Trained).model_files
    folder = files.measured if phase == "measured" else files.live
    return None if folder is None else opened(local_folder(context.root / folder))


def of_ref(root: Location, ref: ModelRef) -> BundleRecommender:
    """The bundle the reference names. DataContractError if it is not there or not the one registered."""
    folder = root / ref.bundle
    if not folder.exists():
        raise DataContractError(
            f"bundle {ref.bundle} of model {ref.name} version {ref.version} is missing",
            "restore it from the registry (`download_artifacts`), or roll back to another version",
        )
    return opened(local_folder(folder), ref.manifest_sha256)


def opened(folder: Path, expected: str | None = None) -> BundleRecommender:
    return BundleRecommender(load_bundle(folder, expected))
