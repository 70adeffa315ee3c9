"""TrainState: the counters of a training, all of them, as one JSON value. Nothing else is remembered between two steps."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Curve(BaseModel):
    """What one phase looked like, step by step and validation by validation."""

    step: list[int] = []
    loss: list[float] = []
    lr: list[float] = []
    valid: list[dict[str, float]] = []
    """{step, epoch, "ndcg@10", "recall@10", n}"""


class Best(BaseModel):
    value: float
    epoch: int
    step: int


class TrainState(BaseModel):
    """The progress of training. `step` and `epoch` count within the phase; `step_in_epoch` is the next batch to read.

    Randomness needs no memory: that of a step is a function of (seed, phase, step, rank).
    """

    model_config = ConfigDict(extra="forbid")

    phase: str
    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    best: Best | None = None
    bad_validations: int = 0
    phase_done: bool = False
    pruned: bool = False
    """The phase was ended by the search that this is a trial of."""
    total_steps: int = 0
    """Steps of all phases so far."""
    rows_read: list[int] = []
    """Rows per rank over all phases so far."""
    epoch_rows: list[int] = []
    """Rows per rank in the epoch under way."""
    dropped: int = 0
    """Rows of finished epochs that the snapshot has and no rank read."""
    tokens: int = 0
    seconds: float = 0.0
    """Time spent in training steps and validation, of all attempts up to this checkpoint."""
    epochs: dict[str, int] = {}
    """Finished epochs by phase."""
    bundles: dict[str, str] = {}
    """Bundles written so far: measured, live -> manifest sha256."""
    curves: dict[str, Curve] = {}
    resumed_from: list[str] = []

    @property
    def curve(self) -> Curve:
        return self.curves.setdefault(self.phase, Curve())

    def advance(self, loss: float, rate: float, rows: list[int], tokens: int) -> None:
        """One step was taken, by all ranks."""
        self.curve.step.append(self.step)
        self.curve.loss.append(loss)
        self.curve.lr.append(rate)
        self.step += 1
        self.step_in_epoch += 1
        self.total_steps += 1
        self.tokens += tokens
        self.rows_read = _add(self.rows_read, rows)
        self.epoch_rows = _add(self.epoch_rows, rows)

    def end_epoch(self, pinned_rows: int) -> None:
        """`pinned_rows` is what the epoch had to read."""
        self.dropped += pinned_rows - sum(self.epoch_rows)
        self.epoch += 1
        self.step_in_epoch = 0
        self.epoch_rows = []
        self.epochs[self.phase] = self.epoch

    def validated(self, value: float, metrics: dict[str, float]) -> bool:
        """Records a validation; true if it is the best so far."""
        self.curve.valid.append({"step": self.step, "epoch": self.epoch, **metrics})
        if self.best is None or value > self.best.value:
            self.best = Best(value=value, epoch=self.epoch, step=self.step)
            self.bad_validations = 0
            return True
        self.bad_validations += 1
        return False

    def moved(self, ranks: int | None, now: int) -> "TrainState":
        """The same progress where steps have `now` shares of rows and had `ranks`: steps are counted in those of `now`, and the
        epoch under way starts again."""
        if ranks is None or ranks == now:
            return self
        step = round((self.step - self.step_in_epoch) * ranks / now)
        read = [sum(self.rows_read), *[0] * (now - 1)]
        return self.model_copy(update={"step": step, "step_in_epoch": 0, "rows_read": read, "epoch_rows": []})

    def counted_by(self, ranks: int) -> "TrainState":
        """The same where as many ranks count rows from now on: what others read is with rank 0."""
        rest = [0] * (ranks - 1)
        kept = {name: getattr(self, name) for name in ("rows_read", "epoch_rows")}
        return self.model_copy(update={k: [sum(v), *rest] if v and len(v) != ranks else v for k, v in kept.items()})

    def next_phase(self, phase: str) -> "TrainState":
        """The start of another phase: counters at zero, what has been done so far kept."""
        kept: dict[str, Any] = self.model_dump(
            include={"total_steps", "rows_read", "dropped", "tokens", "seconds", "epochs", "bundles", "curves", "resumed_from"}
        )
        return TrainState(phase=phase, **kept)


def _add(a: list[int], b: list[int]) -> list[int]:
    return [x + y for x, y in zip(a or [0] * len(b), b, strict=True)]
