"""RePlay's SasRec in an environment of its own (`pip install "replay-rec[torch]"`): trains as ordered, times, writes lists.

Written for 0.22. Run by that environment's Python; imports nothing of ours but `conversation`. "settings" are
arguments of `SasRec.from_params`, and beside them "batch_size"; "lr"; "bucket_size", rows of like length that RePlay's own
`LengthBucketedQueryEncoder` takes together (null: all of the batch at its full length); "first_target", whether a history's
first item is asked of its padding, as RePlay's default transforms do; "loss_on_targets", see `OnTargets`.
"""

import sys
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import lightning  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import torch  # noqa: E402
from conversation import LENGTH, Conversation, Course  # noqa: E402
from replay import __version__  # noqa: E402
from replay.data import FeatureHint, FeatureSource, FeatureType  # noqa: E402
from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorFeatureSource, TensorSchema  # noqa: E402
from replay.nn.lightning import LightningModule  # noqa: E402
from replay.nn.lightning.callback import TorchTopItemsCallback  # noqa: E402
from replay.nn.lightning.optimizer import OptimizerFactory  # noqa: E402
from replay.nn.lightning.postprocessor import SeenItemsFilter  # noqa: E402
from replay.nn.loss import CE  # noqa: E402
from replay.nn.sequential import SasRec  # noqa: E402
from replay.nn.sequential.length_bucket import LengthBucketedQueryEncoder  # noqa: E402
from replay.nn.transform.template import make_default_sasrec_transforms  # noqa: E402

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class OnTargets(CE):
    """The same mean, its scores computed only where there is a target (an eighth of the padded positions on Beauty)."""

    def forward(
        self, *, model_embeddings: torch.Tensor, positive_labels: torch.Tensor, target_padding_mask: torch.Tensor, **_: object
    ) -> torch.Tensor:
        scores_TI = self.logits_callback(model_embeddings[target_padding_mask[..., 0]])
        return self._loss(scores_TI, positive_labels[target_padding_mask])


class SameType(torch.nn.Module):
    """The encoder's states in the type of its inputs: under autocast the buckets are written into a tensor of that type."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, feature_tensors: dict, input_embeddings: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
        return self.encoder(feature_tensors, input_embeddings, *masks).to(input_embeddings.dtype)


class AfterItems(torch.nn.Module):
    """Keeps the targets whose input is an item, not padding."""

    def forward(self, batch: dict) -> dict:
        return {**batch, "target_padding_mask": batch["target_padding_mask"] & batch["padding_mask"].unsqueeze(-1)}


class Reports(lightning.Callback):
    """Tells the course of every epoch."""

    def __init__(self, course: Course, lists: object) -> None:
        self.course, self.lists = course, lists

    def on_train_epoch_start(self, trainer: lightning.Trainer, _module: object) -> None:
        self.course.begin_epoch()

    def on_train_batch_end(self, trainer: lightning.Trainer, _module: object, outputs: dict, batch: dict, *_: object) -> None:
        self.course.end_step(float(outputs["loss"]), int(batch["target_padding_mask"].sum()))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: LightningModule) -> None:
        trainer.should_stop = self.course.end_epoch(module.model.state_dict, self.lists)
        module.train()


class Files:
    """Histories as the parquet files that RePlay reads; items by dense codes, those of the training file."""

    def __init__(self, folder: str, order: dict) -> None:
        self.folder, self.length = Path(folder), order["settings"].get("max_sequence_length", 50)
        self.batch_size = order["settings"].get("batch_size", 128)
        rows = self._rows(order["train"])
        self.items = sorted({item for _, items in rows for item in items})
        self.codes = {item: code for code, item in enumerate(self.items)}
        self.schema = TensorSchema(
            TensorFeatureInfo(
                "item_id",
                is_seq=True,
                feature_type=FeatureType.CATEGORICAL,
                embedding_dim=order["settings"].get("embedding_dim", 192),
                padding_value=len(self.items),
                cardinality=len(self.items),
                feature_hint=FeatureHint.ITEM_ID,
                feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")],
            )
        )

    def module(self, path: str, split: str) -> ParquetModule:
        """`split` is RePlay's: train or predict. Users without two items to train on, or without a known one, are left out."""
        rows = [(user, [self.codes[item] for item in items if item in self.codes]) for user, items in self._rows(path)]
        rows = [(user, items) for user, items in rows if len(items) >= (2 if split == "train" else 1)]
        users, histories = [user for user, _ in rows], pa.array([items for _, items in rows], pa.list_(pa.int64()))
        columns = {"user_id": pa.array(users, pa.int64()), "item_id": histories}
        meta: dict = {"user_id": {}, "item_id": {"shape": self.length + (split == "train"), "padding": len(self.items)}}
        if split == "predict":
            columns["seen_ids"] = histories
            meta["seen_ids"] = {"shape": max(len(items) for _, items in rows), "padding": -1}
        target = self.folder / f"{split}.parquet"
        pq.write_table(pa.table(columns), target)
        transforms = {split: make_default_sasrec_transforms(self.schema)[split]}
        size = self.batch_size if split == "train" else 256
        return ParquetModule(size, {split: meta}, transforms, **{f"{split}_path": str(target)})

    def _rows(self, path: str) -> list[tuple[int, list[int]]]:
        lines = (line.split() for line in Path(path).read_text().splitlines())
        return [(int(user), [int(item) for item in items]) for user, *items in lines]


def compose(schema: TensorSchema, settings: dict) -> SasRec:
    ours = ("batch_size", "lr", "bucket_size", "first_target", "loss_on_targets")
    model = SasRec.from_params(schema, **{name: value for name, value in settings.items() if name not in ours})
    if settings.get("bucket_size"):
        model.body.encoder = LengthBucketedQueryEncoder(SameType(model.body.encoder), settings["bucket_size"])
    if settings.get("loss_on_targets"):
        model.loss = OnTargets()
        model.loss.logits_callback = model.get_logits
    return model


def lists(model: SasRec, files: Files, known: str) -> dict[int, list[int]]:
    """The best items of each user in the file, less those that are there."""
    seen = SeenItemsFilter(len(files.items), "seen_ids")
    best = TorchTopItemsCallback(LENGTH, "user_id", postprocessors=[seen])
    lightning.Trainer(callbacks=[best], **QUIET).predict(
        LightningModule(model), datamodule=files.module(known, "predict"), return_predictions=False
    )
    users, items, _ = best.get_result()
    return {user: [files.items[code] for code in row] for user, row in zip(users.tolist(), items.tolist(), strict=True)}


def main() -> None:
    conversation = Conversation()
    order = conversation.hear()
    torch.set_num_threads(order["threads"])
    lightning.seed_everything(order["seed"])
    course = Course(conversation, order)
    settings = order["settings"]
    with tempfile.TemporaryDirectory() as folder:
        files = Files(folder, order)
        model = compose(files.schema, settings)
        data = files.module(order["train"], "train")
        if not settings.get("first_target", True):
            data.compiled_transforms["train"].append(AfterItems())
        reports = Reports(course, lambda known: lists(model, files, known))
        module = LightningModule(model, OptimizerFactory(learning_rate=settings.get("lr", 1e-3)))
        trainer = lightning.Trainer(
            max_epochs=order["epochs"],
            limit_train_batches=order.get("steps"),
            precision=order["precision"],
            callbacks=[reports],
            limit_val_batches=0,
            **QUIET,
        )
        trainer.fit(module, datamodule=data)
        version = f"replay-rec {__version__}, torch {torch.__version__}"
        parameters = sum(value.numel() for value in model.parameters())
        course.close(version, parameters, model.load_state_dict, lambda known: lists(model, files, known))


if __name__ == "__main__":
    sys.exit(main())
