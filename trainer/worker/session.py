"""train_job: from a job to its result file, on one rank. What is ambient comes in at the top."""

import time
from dataclasses import replace
from typing import Any

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts.failpoints import failpoint
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, load_snapshot
from nightrank.feature_store.contracts.storage import locate
from nightrank.ranker.bundle.bundle import Bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.model import Ranker
from nightrank.ranker.tables.row_table import NewTable
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.pretrained import text_folder, user_folder
from nightrank.trainer.ctr.session import train_ctr
from nightrank.trainer.data.features import load_features
from nightrank.trainer.data.item_inputs import load_item_inputs, load_vocabulary
from nightrank.trainer.data.memory import keep_freed_memory
from nightrank.trainer.incremental.growth import champion, check_extends, check_same_features, grown
from nightrank.trainer.incremental.moments import share_moments
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.table import trained_table
from nightrank.trainer.loop.training import Training
from nightrank.trainer.ranks.communicator import Communicator, broadcast_object, run_on_all_ranks
from nightrank.trainer.ranks.device import Device, choose_device, make_deterministic
from nightrank.trainer.ranks.threads import threads_of
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.tables.limits import check_fits
from nightrank.trainer.tables.placement import table_maker
from nightrank.trainer.worker.export import lineage_of
from nightrank.trainer.worker.phases import phase_names, train
from nightrank.trainer.worker.same_job import check_same_job
from nightrank.trainer.worker.trial import train_trial, trial_result


def train_job(job: Job, communicator: Communicator, progress: Progress, started: float) -> None:
    """Trains every phase of the job, or the trial it is; rank 0 leaves `result.json` behind, and all ranks end together."""
    check_same_job(job, communicator)
    device = run_on_all_ranks(communicator, lambda: choose_device(job.config, communicator.local_rank))
    make_deterministic(device, threads_of(job.config, communicator.local_size))
    keep_freed_memory()
    if job.ctr is not None:
        body = train_ctr(job, communicator, progress, device, started)
    else:
        body = train_sequences(job, communicator, progress, device, started)
    broadcast_object(communicator, lambda: _hand_on(job, body))
    failpoint("train.result.after")


def _hand_on(job: Job, body: dict[str, Any]) -> None:
    """ConflictError, and no result, if a newer run has taken the lake over."""
    with fences.commit(job.lake, job.run_id, job.fence):
        write_json(job.result_path, {**body, "answer": job.answer})


def train_sequences(job: Job, communicator: Communicator, progress: Progress, device: Device, started: float) -> dict[str, Any]:
    training = prepare(job, communicator, progress, device)
    progress.moved("training")
    if job.trial is not None:
        return trial_result(train_trial(training), time.monotonic() - started)
    state = train(training)
    return result(training, state, time.monotonic() - started)


def prepare(job: Job, communicator: Communicator, progress: Progress, device: Device) -> Training:
    """Data, model and optimizer, the same on every rank: drawn from the seed, or grown from the champion. What is known of
    items is held by the ranker from here on, and by nobody else."""
    parent = run_on_all_ranks(communicator, lambda: None if job.parent is None else champion(job.lake.root, job.parent))
    model = job.config.model if parent is None else parent.info.ranker
    snapshot, inputs, raw_ids = run_on_all_ranks(communicator, lambda: _read(job, model))
    progress.moved("composing")
    table = run_on_all_ranks(
        communicator, lambda: table_maker(job.config, model, inputs.items, communicator.rank, communicator.size)
    )
    run_on_all_ranks(communicator, lambda: check_fits(job.config, model, inputs.items, communicator.rank, communicator.size))
    ranker = run_on_all_ranks(communicator, lambda: _ranker(job, parent, snapshot, inputs, raw_ids, device, table))
    features = run_on_all_ranks(communicator, lambda: load_features(snapshot, job.lake.root, ranker.shapes.features))
    training = Training(
        job=job,
        communicator=communicator,
        progress=progress,
        device=device,
        snapshot=snapshot,
        ranker=ranker,
        optimizer=optimizer_of(ranker, job.config),
        state=TrainState(phase=phase_names(job)[0]),
        table=trained_table(ranker, job.config, communicator),
        lineage=parent.info.lineage if parent is not None else lineage_of(raw_ids),
        features=features,
        champion_items=0 if parent is None else parent.info.items,
    )
    share_moments(training, parent)
    return training


def _read(job: Job, model: RankerConfig) -> tuple[DatasetSnapshot, ItemInputs, list[str]]:
    snapshot = load_snapshot(locate(job.snapshot))
    inputs = load_item_inputs(snapshot, job.lake.root, with_tokens=model.reads_texts and snapshot.text_width > 0)
    if not model.encoder.reads_features:
        inputs = replace(inputs, features=None)
    return snapshot, inputs, load_vocabulary(snapshot, job.lake.root)


def _ranker(
    job: Job,
    parent: Bundle | None,
    snapshot: DatasetSnapshot,
    inputs: ItemInputs,
    raw_ids: list[str],
    device: Device,
    table: NewTable,
) -> Ranker:
    model = job.config.model if parent is None else parent.info.ranker
    texts = text_folder(job, model, snapshot)
    if parent is None:
        return compose(model, inputs, job.seed, device.torch_device, texts, user_folder(model, job.text), table)
    check_extends(parent, raw_ids)
    check_same_features(job, parent, snapshot)
    ranker: Ranker = grown(parent, inputs, texts, table).to(device.torch_device)
    return ranker


def result(training: Training, state: TrainState, seconds: float) -> dict[str, Any]:
    """The output of the stage: the sections `training`, `model_files` and `curves` of result.json."""
    job, size = training.job, training.communicator.size
    bundles = {recommender: f"models/{digest}" for recommender, digest in state.bundles.items()}
    return {
        "training": {
            "backend": training.communicator.backend,
            "reader": job.config.reader,
            "launcher": job.config.launcher,
            "world_size": size,
            "steps": [state.total_steps] * size,
            "rows_read": state.rows_read or [0] * size,
            "dropped": state.dropped,
            "resumed_from": state.resumed_from[-1] if state.resumed_from else None,
            "parent_model": job.parent.version if job.parent else None,
            "epochs": state.epochs,
            "best": {phase: curve_best(state, phase) for phase in state.curves},
            "seconds": round(seconds, 3),
            "tokens": state.tokens,
            "tokens_per_second": round(state.tokens / state.seconds, 1) if state.seconds else 0.0,
            "device": str(training.device.torch_device.type),
            "precision": "bf16" if training.device.bf16 else "fp32",
            **_features(training),
        },
        "model_files": {
            "measured": bundles.get("measured"),
            "live": bundles["live"],
            "checkpoint": f"checkpoints/{job.checkpoints.name}",
        },
        "curves": {phase: curve.model_dump(mode="json") for phase, curve in state.curves.items()},
    }


def _features(training: Training) -> dict[str, Any]:
    """What the ranker read beside histories; nothing where it read none."""
    if training.features is None:
        return {}
    return {"features": {**training.features.facts(), "read_by": training.ranker.config.encoder.name}}


def curve_best(state: TrainState, phase: str) -> dict[str, float] | None:
    """The phase's best validation, None where nothing was validated."""
    return max(state.curves[phase].valid, key=lambda row: row["ndcg@10"], default=None)
