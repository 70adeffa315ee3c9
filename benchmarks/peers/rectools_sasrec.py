"""RecTools' SASRec in an environment of its own (`pip install "rectools[torch]"`): trains, times its epochs, writes lists.

Run by that environment's Python; imports nothing of ours. Reads one JSON object from stdin: {"train": file of `user item ...`
lines, "asked": the same with what is known when lists are asked for, or null, "epochs", "width", "blocks", "heads", "dropout",
"loss", "negatives", "seed", "threads"}; writes one to stdout: {"version", "epoch_seconds": [...], "losses": [...],
"parameters", "lists": {user: [20 items]} or null}.
"""

import json
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402
import rectools  # noqa: E402
import torch  # noqa: E402
from pytorch_lightning import Callback, Trainer, seed_everything  # noqa: E402
from rectools import Columns  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402


class Clock(Callback):
    """Seconds and mean loss of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, _module: object) -> None:
        self.started, self.total, self.steps = time.perf_counter(), 0.0, 0

    def on_train_batch_end(self, trainer: Trainer, _module: object, outputs: dict, *_: object) -> None:
        self.total, self.steps = self.total + float(outputs["loss"]), self.steps + 1

    def on_train_epoch_end(self, trainer: Trainer, _module: object) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        self.losses.append(self.total / max(1, self.steps))
        print(
            f"rectools: epoch {len(self.seconds)}, {self.seconds[-1]:.1f} s, {self.losses[-1]:.4f}", file=sys.stderr, flush=True
        )


def interactions(path: str) -> pd.DataFrame:
    """Order without a clock: an event's time is its place in the history, a day each."""
    rows = [
        (int(user), int(item), place)
        for user, *items in (line.split() for line in Path(path).read_text().splitlines())
        for place, item in enumerate(items)
    ]
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "place"])
    frame[Columns.Datetime] = pd.Timestamp("2020-01-01") + pd.to_timedelta(frame.pop("place"), unit="D")
    frame[Columns.Weight] = 1.0
    return frame


def main() -> None:
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    seed_everything(asked["seed"])

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=asked["epochs"],
            accelerator="cpu",
            callbacks=[Clock()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = SASRecModel(
        n_factors=asked["width"],
        n_blocks=asked["blocks"],
        n_heads=asked["heads"],
        dropout_rate=asked["dropout"],
        session_max_len=50,
        loss=asked["loss"],
        n_negatives=asked["negatives"],
        batch_size=128,
        epochs=asked["epochs"],
        lr=1e-3,
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(interactions(asked["train"])))
    clock = next(callback for callback in model.fit_trainer.callbacks if isinstance(callback, Clock))
    lists = None
    if asked["asked"]:
        known = Dataset.construct(interactions(asked["asked"]))
        users = known.user_id_map.external_ids
        frame = model.recommend(users=users, dataset=known, k=20, filter_viewed=True)
        lists = {int(user): group[Columns.Item].tolist() for user, group in frame.groupby(Columns.User, sort=False)}
    parameters = sum(value.numel() for value in model.torch_model.parameters())
    json.dump(
        {
            "version": rectools.__version__,
            "epoch_seconds": clock.seconds,
            "losses": clock.losses,
            "parameters": parameters,
            "lists": lists,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
