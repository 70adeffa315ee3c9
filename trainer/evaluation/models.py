"""Which bundles a run measures: its own, the champion's, and that of the last full run."""

from pathlib import Path

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.model_ref import ModelRef, load_model_ref
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.evaluation.recommenders import BundleRecommender


def run_snapshot(context: StageContext) -> DatasetSnapshot:
    """The snapshot that stage build_training_set of this run published."""
    named = context.result_of("build_training_set").extra["snapshot"]
    return load_snapshot(context.lake.snapshot(named["id"]))


def run_bundle(context: StageContext, phase: str) -> BundleRecommender | None:
    """The bundle stage train left for the phase (measured | live); None where it made none."""
    folder = context.result_of("train").extra["model_files"].get(phase)
    return None if folder is None else opened(context.root / folder)


def last_full_ref(context: StageContext) -> ModelRef | None:
    """What the newest other full run up to this date registered; None where there is none."""
    refs = []
    for path in context.lake.root.glob("runs/*/model_ref.json"):
        ref = load_model_ref(path)
        if ref.run_id == context.run_id or ref.date > context.day.isoformat():
            continue
        if read_json(path.parent / "run.json")["kind"] == "full":
            refs.append(ref)
    return max(refs, key=lambda ref: (ref.date, ref.version), default=None)


def of_ref(root: Path, ref: ModelRef) -> BundleRecommender:
    """The bundle the reference names. DataContractError if it is not there or not the one registered."""
    folder = root / ref.bundle
    if not folder.exists():
        raise DataContractError(
            f"bundle {ref.bundle} of model {ref.name} version {ref.version} is missing",
            "restore it from the registry (`download_artifacts`), or roll back to another version",
        )
    return opened(folder, ref.manifest_sha256)


def opened(folder: Path, expected: str | None = None) -> BundleRecommender:
    return BundleRecommender(load_bundle(folder, expected))
