"""train_ctr: from a job to the output of its stage, on one rank."""

import time
from typing import Any, Final

from nightrank.feature_store.contracts.aggregates import named_by_rows, with_prefix
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.failpoints import failpoint
from nightrank.feature_store.contracts.impression_settings import ATTRIBUTE_PREFIX
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.storage import locate
from nightrank.ranker.bundle.store import stored
from nightrank.ranker.ctr.bundle import save_ctr_bundle
from nightrank.ranker.ctr.compose import CtrRanker, compose_ctr
from nightrank.trainer.config.job import Job
from nightrank.trainer.ctr.pinned import codes_of, shapes_of
from nightrank.trainer.ctr.sums import sums_of
from nightrank.trainer.ctr.training import PHASE, CtrTraining, fit
from nightrank.trainer.ctr.validation import Figures
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.ranks.communicator import Communicator, broadcast_object, run_on_all_ranks
from nightrank.trainer.ranks.device import Device
from nightrank.trainer.ranks.watchdog import Progress

TEST: Final = "impressions_test"


def train_ctr(job: Job, communicator: Communicator, progress: Progress, device: Device, started: float) -> dict[str, Any]:
    """Trains on `impressions_train`, keeps the best of `impressions_valid`, measures it on `impressions_test`; the bundle
    is in the lake."""
    training = prepare(job, communicator, progress, device)
    progress.moved("training")
    state = fit(training)
    tested = training.validator(TEST)(training.ranker) if training.snapshot.rows(TEST) else None
    name = broadcast_object(communicator, lambda: _export(training))
    return result(training, state, tested, name, time.monotonic() - started)


def prepare(job: Job, communicator: Communicator, progress: Progress, device: Device) -> CtrTraining:
    """Ranker and optimizer, the same on every rank: drawn from the seed."""
    config = job.ctr
    assert config is not None
    snapshot = run_on_all_ranks(communicator, lambda: load_snapshot(locate(job.snapshot)))
    progress.moved("composing")
    ranker = run_on_all_ranks(communicator, lambda: _ranker(job, shapes_of(snapshot)).to(device.torch_device))
    optimizer = AdamW(ranker, config.optimizer)
    training = CtrTraining(
        job=job, communicator=communicator, progress=progress, device=device, snapshot=snapshot, ranker=ranker,
        optimizer=optimizer, state=TrainState(phase=PHASE), config=config,
    )  # fmt: skip
    training.share({})
    return training


def _ranker(job: Job, shapes: Any) -> CtrRanker:
    assert job.ctr is not None
    model = job.ctr.model
    if model.reads_history and shapes.history is None:
        raise ConfigError(f"{model.name} reads histories, and impressions.history is 0", "raise it, or use another model")
    return compose_ctr(model, shapes, job.seed)


def _export(training: CtrTraining) -> str:
    failpoint("train.bundle.before")
    lake, snapshot = training.job.lake, training.snapshot
    codes = codes_of(snapshot, lake.root)
    with training.progress.during("writing a bundle"):
        sums = sums_of(snapshot, lake.root)
        name = stored(lake.bundles, lambda folder: save_ctr_bundle(folder, training.ranker, codes, snapshot.id, sums))
    failpoint("train.bundle.after")
    return name


def result(training: CtrTraining, state: TrainState, tested: Figures | None, bundle: str, seconds: float) -> dict[str, Any]:
    """The section that stage `train_ctr` leaves."""
    job, size = training.job, training.communicator.size
    return {
        "training": {
            "model": training.config.model.name,
            "backend": training.communicator.backend,
            "reader": job.config.reader,
            "world_size": size,
            "steps": [state.total_steps] * size,
            "rows_read": state.rows_read or [0] * size,
            "dropped": state.dropped,
            "resumed_from": state.resumed_from[-1] if state.resumed_from else None,
            "epochs": state.epoch,
            "best": max(state.curve.valid, key=lambda row: row["auc"], default=None),
            "seconds": round(seconds, 3),
            "device": str(training.device.torch_device.type),
            "precision": "bf16" if training.device.bf16 else "fp32",
            **_features(training),
        },
        "test": tested,
        "model_files": {"live": f"models/{bundle}", "checkpoint": f"checkpoints/{job.checkpoints.name}"},
        "curves": {PHASE: state.curve.model_dump(mode="json")},
    }


def _features(training: CtrTraining) -> dict[str, Any]:
    """Names of the features among the rows' inputs; nothing where there are none."""
    shapes = training.ranker.shapes
    named = named_by_rows(number.name for number in shapes.numeric)
    attributes = with_prefix(ATTRIBUTE_PREFIX, (field.name for field in shapes.fields))
    names = {"user": list(named.get("user", ())), "item": list(named.get("item", ())), "attributes": list(attributes)}
    return {"features": {"names": names, "read_by": training.config.model.name}} if any(names.values()) else {}
