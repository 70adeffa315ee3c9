"""How a model is trained: launcher, optimizer, phases, checkpoints, watchdog. Imports no engine.

What travels with the weights is `RankerConfig`; what is written here only decides how they come about.
"""

from typing import Final, Literal

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.trainer.config.elastic import ElasticConfig
from nightrank.trainer.config.optimizer import RankerOptimizerConfig, SlowMoConfig
from nightrank.trainer.config.tables import TablesConfig

ReaderName = Literal["petastorm", "arrow"]
BackendName = Literal["horovod", "torch"]
LauncherName = Literal["horovodrun", "spark", "pods", "torchrun", "torch_distributor", "one_process"]
BACKEND_OF: Final[dict[str, BackendName]] = {
    "horovodrun": "horovod",
    "spark": "horovod",
    "pods": "horovod",
    "torchrun": "torch",
    "torch_distributor": "torch",
}
"""By what the ranks of each launcher find each other. `one_process` has nobody to find."""


class PhaseConfig(FrozenConfig):
    """One stretch of training with a learning-rate curve of its own: linear warm-up, then a cosine down to `floor`."""

    epochs: int = Field(ge=0)
    """Passes over the phase's rows, at most."""
    learning_rate: float = Field(gt=0)
    """Highest learning rate of the phase."""
    warmup_steps: int = Field(100, ge=0)
    """Steps in which the learning rate rises from zero."""
    floor: float = Field(0.05, ge=0, le=1)
    """The last learning rate as a share of the highest."""
    patience: int | None = Field(None, ge=1)
    """The phase ends after this many validations without a better NDCG@10; null: no early stopping."""
    replay_fraction: float = Field(0.0, ge=0, le=10)
    """Steps on `train` rows that are mixed in, as a share of the phase's own steps (refit only)."""
    anchor: float = Field(0.0, ge=0)
    """Strength of the L2 penalty towards the weights at the start of the phase; 0: none."""
    fresh_optimizer: bool = False
    """Start with an empty optimizer state."""


class MeasureConfig(PhaseConfig):
    """The phase that trains without the evaluation split, and is measured on it."""

    epochs: int = Field(20, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    patience: int | None = Field(3, ge=1)


class RefitConfig(PhaseConfig):
    """The phase that trains on the evaluation split too; its model goes live after a full run."""

    epochs: int = Field(2, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    warmup_steps: int = Field(20, ge=0)
    replay_fraction: float = Field(0.5, ge=0, le=10)


class DistillationConfig(FrozenConfig):
    """Replayed rows also learn what the champion answers (ADER, Mi et al. 2020)."""

    weight: float = Field(0.0, ge=0)
    """Weight of the divergence from the champion on replayed rows, beside the loss of all rows; 0: no distillation."""
    temperature: float = Field(1.0, gt=0)
    """What scores are divided by before they become probabilities; higher: more is learnt of unlikely items."""
    adaptive: bool = True
    """Multiply the weight by sqrt(known items / all items * replayed labels / new labels)."""


class NightPhaseConfig(PhaseConfig):
    """The phase that fine-tunes the champion on new days and replayed histories, with dropout and from its optimizer state."""

    epochs: int = Field(2, ge=0)
    learning_rate: float = Field(2e-4, gt=0)
    """Highest learning rate of the phase. The default is a fifth of `fit`'s; for small nights a twentieth to a tenth is
    reported to be best."""
    warmup_steps: int = Field(10, ge=0)
    distillation: DistillationConfig = DistillationConfig()


class ValidationConfig(FrozenConfig):
    every_epochs: int = Field(1, ge=1)
    """Validate after this many epochs."""
    max_rows: int | None = Field(20_000, ge=1)
    """Validate on this many rows at most, the same ones each time; null: on all."""
    batch_rows: int = Field(512, ge=1)
    """Rows per validation batch."""


class CheckpointConfig(FrozenConfig):
    every_steps: int | None = Field(None, ge=1)
    """Write a checkpoint every this many steps; null: by time only."""
    every_seconds: float = Field(60.0, gt=0)
    """Write a checkpoint every this many seconds."""
    keep_last: int = Field(2, ge=1)
    """Number of newest checkpoints that are kept."""
    in_background: bool = True
    """Write a copy of weights and moments while the training goes on: rank 0 holds them twice then. false: steps wait. They
    always do where the table of items is held by row."""


class WatchdogConfig(FrozenConfig):
    timeout_seconds: float = Field(120.0, gt=0)
    """If a rank makes no progress for this long, it is named and all ranks are stopped."""
    startup_seconds: float = Field(180.0, gt=0)
    """The same limit before a rank's first progress (imports, the first collective)."""
    beat_seconds: float = Field(1.0, gt=0)
    """Time between two heartbeats of a rank."""
    gloo_timeout_seconds: int = Field(60, ge=1)
    """HOROVOD_GLOO_TIMEOUT_SECONDS: how long Horovod waits for a peer's socket."""


class TrainerConfig(FrozenConfig):
    """The section `trainer` of a run's configuration."""

    launcher: LauncherName = "horovodrun"
    """How ranks are started. Ranks of Horovod: by `horovodrun`, on Spark's executors (`spark`), by `nightrank join` in pods of
    their own (`pods`). Ranks of torch.distributed: by `torchrun`, on Spark's executors (`torch_distributor`). `one_process`
    starts one rank, without either."""
    backend: BackendName | None = None
    """How ranks talk: `horovod`, or `torch` (torch.distributed: Gloo on CPUs, NCCL on GPUs). null: as the launcher does, so
    `horovod` unless another launcher is chosen. A launcher of the other backend is refused."""
    workers: int = Field(2, ge=1)
    """Number of ranks."""
    shares: int | None = Field(None, ge=1)
    """Into how many shares the rows of a step are cut, of `batch_rows` each; null: one a rank. A training with fewer ranks than
    shares reads the same rows in the same order as one with a rank a share."""
    hosts: str | None = None
    """Hosts with their ranks, such as `a:4,b:4`, for `horovodrun` and `torchrun`; null: all workers on this machine."""
    rendezvous_port: int = Field(29_400, ge=1, le=65_535)
    """Launcher `pods`, and `torchrun` with `hosts`: the port on which rank 0 waits for the others."""
    reader: ReaderName = "petastorm"
    """What fetches row groups: Petastorm, or threads of our own (`arrow`). Batches are the same, byte for byte."""
    environment: tuple[str, ...] = ()
    """More environment variables for ranks, by name or as `PREFIX_*`. They are passed in a private file. Stages get them too;
    without this setting they lack only what looks like a secret of another program."""
    threads_per_worker: int | None = Field(None, ge=1)
    """Threads per rank; null: the cores of each machine divided by the workers on it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the ranks; auto: a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bf16 autocast if the CPU (AVX512_BF16, AMX) or the GPU supports it; weights stay fp32."""
    compression: Literal["none", "fp16", "bf16"] = "none"
    """fp16 or bf16 halves the gradients that ranks send: fp16 has finer digits, bf16 needs backend `torch` and one collective
    less. It helps between hosts, not on one host."""
    batch_rows: int = Field(256, ge=1)
    """Rows per step and rank, or share (`shares`)."""
    micro_batch_tokens: int = Field(4096, ge=1)
    """Tokens a rank processes at once. A longer step is split into pieces, and their gradients are added."""
    reorder: float = Field(0.0, ge=0)
    """Shuffle training histories a little: each event moves by less than this many places. Up to 1, nothing moves."""
    log_seconds: float = Field(15.0, gt=0)
    """Log the progress of training every this many seconds."""
    model: RankerConfig = RankerConfig()
    loss: LossConfig = LossConfig()
    optimizer: RankerOptimizerConfig = RankerOptimizerConfig()
    tables: TablesConfig = TablesConfig()
    slowmo: SlowMoConfig | None = None
    """Let ranks meet only now and then; null: they add up their gradients at every step."""
    fit: MeasureConfig = MeasureConfig()
    refit: RefitConfig = RefitConfig()
    night: NightPhaseConfig = NightPhaseConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    watchdog: WatchdogConfig = WatchdogConfig()
    elastic: ElasticConfig = ElasticConfig()

    @model_validator(mode="after")
    def _a_full_softmax_is_a_product(self) -> "TrainerConfig":
        if self.loss.name == "full_softmax" and self.model.head.name != "dot":
            raise ValueError(f"loss full_softmax needs the head dot, not {self.model.head.name}: use a sampled loss")
        return self

    @model_validator(mode="after")
    def _launcher_and_backend_fit(self) -> "TrainerConfig":
        other = BACKEND_OF.get(self.launcher, self.ranks_by)
        if self.ranks_by != other:
            fitting = " or ".join(name for name, backend in BACKEND_OF.items() if backend == self.ranks_by)
            raise ValueError(
                f"launcher {self.launcher} starts ranks of {other}, and backend is {self.ranks_by}: use launcher {fitting}"
            )
        if self.compression == "bf16" and self.ranks_by == "horovod" and self.launcher != "one_process":
            raise ValueError("compression bf16 is not in Horovod: use fp16, or launcher torchrun")
        return self

    @model_validator(mode="after")
    def _bf16_weights_compute_in_bf16(self) -> "TrainerConfig":
        if self.optimizer.name == "anyprecision_adamw" and self.precision == "fp32":
            raise ValueError("optimizer anyprecision_adamw computes in bf16: use precision auto or bf16")
        if self.optimizer.name == "anyprecision_adamw" and self.slowmo is not None:
            raise ValueError("slowmo averages fp32 weights: use optimizer adamw with it")
        return self

    @property
    def ranks_by(self) -> BackendName:
        """The backend in use."""
        return self.backend or BACKEND_OF.get(self.launcher, "horovod")
