"""RecTools' SASRec in an environment of its own (`pip install "rectools[torch]"`): trains as ordered, times, writes lists.

Run by that environment's Python; imports nothing of ours but `conversation`, which says what is heard and said. "settings" are
arguments of `SASRecModel`. Works with 0.13 (the version of eSASRec's authors: dropout on the item table) and with 0.19.
"""

import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402
import rectools  # noqa: E402
import torch  # noqa: E402
from conversation import LENGTH, Conversation, Course  # noqa: E402
from pytorch_lightning import Callback, Trainer, seed_everything  # noqa: E402
from rectools import Columns  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule  # noqa: E402


class OnTargets(DistanceSimilarityModule):
    """The same scores of the same candidates, by one product and only where there is a target (an eighth of the padded
    positions on Beauty): the loss leaves the others out anyway, and gathering 257 vectors for each takes ten times as long."""

    def _get_pos_neg_logits(
        self, session_embs: torch.Tensor, item_embs: torch.Tensor, candidate_item_ids: torch.Tensor
    ) -> torch.Tensor:
        real_BL = candidate_item_ids[..., 0] != 0
        scores_TI = session_embs[real_BL] @ item_embs.T
        logits_BLN = scores_TI.new_zeros(candidate_item_ids.shape)
        logits_BLN[real_BL] = scores_TI.gather(1, candidate_item_ids[real_BL])
        return logits_BLN


class Reports(Callback):
    """Tells the course of every epoch."""

    def __init__(self, course: Course) -> None:
        self.course = course

    def on_train_epoch_start(self, trainer: Trainer, _module: object) -> None:
        self.course.begin_epoch()

    def on_train_batch_end(self, trainer: Trainer, _module: object, outputs: dict, batch: dict, *_: object) -> None:
        self.course.end_step(float(outputs["loss"]), int((batch["y"] != 0).sum()))

    def on_train_epoch_end(self, trainer: Trainer, module: torch.nn.Module) -> None:
        self.course.model.is_fitted = True
        trainer.should_stop = self.course.end_epoch(module.state_dict, lambda known: lists(self.course.model, known))
        module.train()


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


def lists(model: SASRecModel, known: str) -> dict[int, list[int]]:
    """The best items of each user in the file, less those that are there."""
    dataset = Dataset.construct(interactions(known))
    users = dataset.user_id_map.external_ids
    frame = model.recommend(users=users, dataset=dataset, k=LENGTH, filter_viewed=True)
    return {int(user): group[Columns.Item].tolist() for user, group in frame.groupby(Columns.User, sort=False)}


def main() -> None:
    conversation = Conversation()
    order = conversation.hear()
    torch.set_num_threads(order["threads"])
    seed_everything(order["seed"])
    course = Course(conversation, order)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=order["epochs"],
            limit_train_batches=order.get("steps"),
            precision=order["precision"],
            accelerator="cpu",
            callbacks=[Reports(course)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    sampled = order["settings"].get("loss") == "sampled_softmax"
    faster = {"similarity_module_type": OnTargets} if sampled else {}
    model = SASRecModel(get_trainer_func=trainer, **faster, **order["settings"])
    course.model = model
    model.fit(Dataset.construct(interactions(order["train"])))
    parameters = sum(value.numel() for value in model.torch_model.parameters())
    version = f"rectools {rectools.__version__}, torch {torch.__version__}"
    course.close(version, parameters, model.lightning_model.load_state_dict, lambda known: lists(model, known))


if __name__ == "__main__":
    sys.exit(main())
