"""ModelRef: which registered model, what it was trained on and grew from. The hand-off from the trainer to Spark."""

from typing import Final

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.storage import Location

CTR_MODEL: Final = "ctr.json"
"""In the lake's root: the ModelRef of the click ranker that scores, as champion.json is of the ranker of lists."""

LIST_MODEL: Final = "list_model.json"
"""In a run's folder: the ModelRef of the copy of the champion that makes the run's lists, where the champion stayed and items
came since it was trained."""


class ModelRef(FrozenConfig):
    name: str
    version: int
    alias: str | None
    mlflow_run_id: str
    manifest_sha256: str
    vocabulary_lineage: str
    """sha256 of the first vocabulary this family of models started from; ids never move within a lineage."""
    vocabulary_items: int
    snapshot_id: str
    run_id: str
    date: str
    parent_version: int | None = None
    text_encoder: str | None = None
    text_revision: str | None = None
    bundle: str
    """Folder of the bundle relative to the lake (`models/<manifest sha256>`)."""
    checkpoint: str | None = None
    """Folder of the trainer's checkpoint with optimizer state, relative to the lake."""

    replaced: str | None = None
    """Manifest of the champion that it took the place of; None for the first, and for what is no champion."""

    def same_as(self, other: "ModelRef | None") -> bool:
        """One bundle of one run, whatever its alias."""
        return other is not None and (other.run_id, other.manifest_sha256) == (self.run_id, self.manifest_sha256)

    def save(self, path: Location) -> None:
        write_json(path, self.model_dump(mode="json"))


def load_model_ref(path: Location) -> ModelRef:
    return ModelRef.model_validate(read_json(path))
