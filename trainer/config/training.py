"""How a model is trained: launcher, optimizer, phases, checkpoints, watchdog. Imports no engine.

What travels with the weights is `RankerConfig`; what is written here only decides how they come about.
"""

from typing import Literal

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.ranker.config.ranker import LossConfig, RankerConfig

ReaderName = Literal["petastorm", "arrow"]


class OptimizerConfig(FrozenConfig):
    """AdamW (Loshchilov & Hutter 2019) on the summed gradient divided by the summed weight."""

    beta1: float = Field(0.9, ge=0, lt=1)
    """Adam's decay of the mean of gradients."""
    beta2: float = Field(0.98, ge=0, lt=1)
    """Adam's decay of the mean of squared gradients."""
    epsilon: float = Field(1e-8, gt=0)
    """Adam's addend in the denominator."""
    weight_decay: float = Field(0.01, ge=0)
    """On matrices only: biases and norms are left alone, and lookup tables have a decay of their own."""
    table_decay: float = Field(0.0, ge=0)
    """On lookup tables. Adam moves a row by about the learning rate however rarely it is touched, so that the id of a rare item
    ends as noise; decay takes it back towards what the item's text says."""
    text_rate: float = Field(0.1, gt=0)
    """Learning rate of parts that come from a pre-trained model, as a share of the phase's."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest global L2 norm of a step's gradient."""


class PhaseConfig(FrozenConfig):
    """One stretch of training with a learning-rate curve of its own: linear warm-up, then a cosine down to `floor`."""

    epochs: int = Field(ge=0)
    """Passes over the phase's rows, at most."""
    learning_rate: float = Field(gt=0)
    """Highest learning rate of the phase."""
    warmup_steps: int = Field(100, ge=0)
    """Steps in which the learning rate rises from zero."""
    floor: float = Field(0.05, ge=0, le=1)
    """The last learning rate as a share of the first."""
    patience: int | None = Field(None, ge=1)
    """Validations without a better NDCG@10 before the phase ends; None: no early stopping."""
    replay_fraction: float = Field(0.0, ge=0, le=10)
    """Steps of `train` mixed in, as a share of the phase's own steps (refit only)."""
    anchor: float = Field(0.0, ge=0)
    """Strength of the pull back to the weights the phase started from (L2); 0 leaves it out."""
    fresh_optimizer: bool = False
    """Start without the moments of what was trained before."""


class MeasureConfig(PhaseConfig):
    """Trained without the evaluation split, to be measured on it."""

    epochs: int = Field(20, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    patience: int | None = Field(3, ge=1)


class RefitConfig(PhaseConfig):
    """Brought up to date on the evaluation split: what goes live after a full run."""

    epochs: int = Field(2, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    warmup_steps: int = Field(20, ge=0)
    replay_fraction: float = Field(0.5, ge=0, le=10)


class NightPhaseConfig(PhaseConfig):
    """Going on from the champion on one day and its replay."""

    epochs: int = Field(2, ge=0)
    learning_rate: float = Field(2e-4, gt=0)
    warmup_steps: int = Field(10, ge=0)


class ValidationConfig(FrozenConfig):
    every_epochs: int = Field(1, ge=1)
    """Validate after this many epochs."""
    max_rows: int | None = Field(20_000, ge=1)
    """Validate on this many rows at most, the same ones each time; None: on all."""
    batch_rows: int = Field(512, ge=1)
    """Rows that are validated at once."""


class CheckpointConfig(FrozenConfig):
    every_steps: int | None = Field(None, ge=1)
    """A checkpoint after this many steps; null: by time alone."""
    every_seconds: float = Field(60.0, gt=0)
    """A checkpoint after this many seconds."""
    keep_last: int = Field(2, ge=1)
    """Newest checkpoints that are kept."""


class WatchdogConfig(FrozenConfig):
    timeout_seconds: float = Field(120.0, gt=0)
    """A rank that makes no progress for this long is named and ended, with all others."""
    startup_seconds: float = Field(180.0, gt=0)
    """The same, before a rank's first sign of progress (imports, the first collective)."""
    beat_seconds: float = Field(1.0, gt=0)
    """Time between two heartbeats of a rank."""
    gloo_timeout_seconds: int = Field(60, ge=1)
    """HOROVOD_GLOO_TIMEOUT_SECONDS: how long Horovod waits for a peer's socket."""


class TrainerConfig(FrozenConfig):
    """The section `trainer` of a run's configuration."""

    launcher: Literal["horovodrun", "spark", "one_process"] = "horovodrun"
    """How ranks are started: by horovodrun, on Spark's executors, or in one process without Horovod."""
    workers: int = Field(2, ge=1)
    """Horovod ranks."""
    hosts: str | None = None
    """horovodrun's -H, such as `a:4,b:4`; None: all workers on this machine."""
    reader: ReaderName = "petastorm"
    """What fetches row groups: Petastorm, or threads of our own (`arrow`). Batches are the same, byte for byte."""
    environment: tuple[str, ...] = ()
    """Environment variables that ranks get beside the usual ones, by name or as `PREFIX_*`. They go by a private file."""
    threads_per_worker: int | None = Field(None, ge=1)
    """None: the cores of each machine divided by the workers on it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where ranks compute; auto: on a GPU where there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bf16 autocast where the CPU (AVX512_BF16, AMX) or the GPU multiplies in it; weights stay fp32."""
    compression: Literal["none", "fp16"] = "none"
    """Halve the gradient on the wire; worth it between hosts, not on one."""
    batch_rows: int = Field(256, ge=1)
    """Rows of one rank's step."""
    micro_batch_tokens: int = Field(4096, ge=1)
    """Tokens a rank holds activations of at once: a step of long histories is taken in pieces whose gradients add up."""
    reorder: float = Field(0.0, ge=0)
    """Events of a training history change places at random, each moving by less than so many; up to 1 all stay."""
    log_seconds: float = Field(15.0, gt=0)
    """A line on the progress of training after this many seconds."""
    model: RankerConfig = RankerConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    fit: MeasureConfig = MeasureConfig()
    refit: RefitConfig = RefitConfig()
    night: NightPhaseConfig = NightPhaseConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    watchdog: WatchdogConfig = WatchdogConfig()

    @model_validator(mode="after")
    def _a_full_softmax_is_a_product(self) -> "TrainerConfig":
        if self.loss.name == "full_softmax" and self.model.head.name != "dot":
            raise ValueError(f"loss full_softmax needs the head dot, not {self.model.head.name}: use a sampled loss")
        return self
