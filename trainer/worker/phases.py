"""Which phases a run has and what happens between them. Whatever is repeated after a crash ends in the same bytes.

full:    `fit` (train, early stopping on valid) -> bundle `measured`; `refit` (the positions that were kept out,
         plus replay) -> bundle `live`
nightly: `night` (the day and its replay, from the champion) -> bundle `live`
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from nightrank.feature_store.contracts.failpoints import failpoint
from nightrank.feature_store.contracts.snapshot import PartName
from nightrank.ranker.losses.soft_labels import SoftLabels
from nightrank.ranker.tables.row_files import StoredRows
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.training import DistillationConfig, NightPhaseConfig, PhaseConfig
from nightrank.trainer.incremental.distillation import frozen, replayed_of, soft_labels
from nightrank.trainer.loop.anchor import Anchor
from nightrank.trainer.loop.fit import Phase, fit
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import trainable
from nightrank.trainer.loop.optimizers import optimizer_of
from nightrank.trainer.loop.shared_validation import SharedValidator
from nightrank.trainer.loop.source import MixedSource, PartSource, Source, phase_seed
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.loop.table import TableStep
from nightrank.trainer.loop.training import Training
from nightrank.trainer.loop.validation import Validator
from nightrank.trainer.ranks.communicator import broadcast_object, run_on_all_ranks
from nightrank.trainer.worker.export import export_bundle
from nightrank.trainer.worker.shared_rows import bundle_rows

FIT, REFIT, NIGHT = "fit", "refit", "night"
LIVE = "live"
"""Name of the checkpoint beside the live bundle: what the next night starts from."""


def phase_names(job: Job) -> tuple[str, ...]:
    return (FIT, REFIT) if job.kind == "full" else (NIGHT,)


def train(training: Training) -> TrainState:
    """Runs every phase that is not done yet. Afterwards the bundles and the checkpoint `live` are on disk."""
    if training.resume(None):
        training.state.resumed_from.append(f"{training.state.phase} step {training.state.step}")
    names = phase_names(training.job)
    for name in names[names.index(training.state.phase) :]:
        if training.state.phase != name:
            _begin(training, name)
        if not training.state.phase_done:
            fit(build_phase(training, name), training)
        _finish(training, name)
    training.save_as(LIVE)
    training.save_running()
    return training.state


def fit_trial(training: Training, prunes: Callable[[TrainState], bool]) -> TrainState:
    """Phase `fit` alone, ended early where `prunes` says so; no bundle. What a trial of `nightrank tune` is."""
    if training.resume(None):
        training.state.resumed_from.append(f"{training.state.phase} step {training.state.step}")
    if not training.state.phase_done:
        fit(replace(build_phase(training, FIT), prunes=prunes), training)
    return training.state


def build_phase(training: Training, name: str) -> Phase:
    config = phase_config(training.job, name)
    trainer = training.job.config
    distillation = config.distillation if isinstance(config, NightPhaseConfig) else DistillationConfig()
    start = _start_weights(training) if config.anchor or distillation.weight else {}
    soft = _soft_labels(training, distillation, start) if distillation.weight else None
    world = training.communicator
    objective = SequenceObjective(training.ranker, trainer.loss, trainer.micro_batch_tokens, trainer.reorder, soft, world)
    step = TrainStep(
        training.ranker,
        training.optimizer,
        world,
        training.device,
        objective,
        trainer.optimizer,
        phase_seed(training.job.seed, name),
        Anchor(training.ranker, start, config.anchor) if config.anchor else None,
        None if training.table is None else TableStep(training.table, objective),
    )
    validated = name == FIT and training.snapshot.rows("valid") > 0
    return Phase(name, config, phase_source(training, name, config), step, _validator(training) if validated else None)


def phase_config(job: Job, name: str) -> PhaseConfig:
    return {FIT: job.config.fit, REFIT: job.config.refit, NIGHT: job.config.night}[name]


def phase_source(training: Training, name: str, config: PhaseConfig) -> Source:
    if name != REFIT:
        return _part(training, name, "train")
    main = _part(training, name, "refit")
    return MixedSource(main, _part(training, f"{name}.replay", "train"), config.replay_fraction)


def _part(training: Training, purpose: str, part: PartName) -> PartSource:
    return PartSource(
        training.snapshot,
        training.job.lake.root,
        part,
        phase_seed(training.job.seed, purpose),
        training.communicator.rank,
        training.communicator.size,
        training.job.config.batch_rows,
        training.job.config.reader,
        training.features,
        training.shares,
    )


def _validator(training: Training) -> Validator:
    alone = Validator(
        training.snapshot,
        training.job.lake.root,
        "valid",
        training.job.config.validation,
        training.communicator,
        training.device,
        training.progress,
        training.features,
    )
    table = training.table
    return alone if table is None or not table.shared else SharedValidator(**vars(alone), table=table)


def _begin(training: Training, name: str) -> None:
    training.state = training.state.next_phase(name)
    if phase_config(training.job, name).fresh_optimizer:
        training.optimizer = optimizer_of(training.ranker, training.job.config)
        if training.table is not None:
            training.table.load({})
    if training.snapshot.rows("refit") == 0:
        training.state.phase_done = True
    training.save_running()


def _finish(training: Training, name: str) -> None:
    """The phase's best weights (its last, where nothing was validated) are in the ranker and in a bundle."""
    if training.state.best is not None:
        training.resume(f"best-{name}")
    recommender = "measured" if name == FIT else LIVE
    with bundle_rows(training) as by_row:
        told = broadcast_object(training.communicator, lambda: _export(training, by_row))
    training.state.bundles[recommender] = str(told)


def _export(training: Training, by_row: Mapping[str, StoredRows] | None) -> str:
    failpoint("train.bundle.before")
    with training.progress.during("writing a bundle"):
        digest = export_bundle(training, by_row)
    failpoint("train.bundle.after")
    return digest


def _soft_labels(training: Training, config: DistillationConfig, start: dict[str, Tensor]) -> SoftLabels | None:
    """What the champion, whose weights are those at the start, says of the replayed rows."""
    replayed = run_on_all_ranks(training.communicator, lambda: replayed_of(training.snapshot, training.job.lake.root))
    teacher = frozen(training.ranker, start)
    return soft_labels(teacher, training.champion_items, training.snapshot.items, replayed, config)


def _start_weights(training: Training) -> dict[str, Tensor]:
    """The weights the phase began with, on every rank: a resumed phase reads them from the checkpoint made then."""
    name = f"start-{training.state.phase}"
    if training.state.step == 0:
        training.save_as(name)
    weights = {key: value.detach().clone() for key, value in trainable(training.ranker).items()}

    def read() -> bool:
        kept = training.folder.load(name).model
        for key, value in weights.items():
            value.copy_(kept[key])
        return True

    broadcast_object(training.communicator, read)
    training.communicator.broadcast(list(weights.values()))
    return weights
