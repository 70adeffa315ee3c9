"""The output of stage train: the bundles it left, how training went, and its curves."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class ModelFiles(FrozenConfig):
    """Folders relative to the lake. A bundle's name is the hash of its manifest."""

    measured: str | None = None
    """Saw neither validation nor test rows; a night and a click ranker have none."""
    live: str
    checkpoint: str | None = None

    @property
    def bundles(self) -> tuple[str, ...]:
        return tuple(sorted({self.live, *([self.measured] if self.measured else [])}))


class Trained(StageOutput):
    STAGE: ClassVar[str] = "train"
    training: dict[str, Any]
    """Figures of the training, as result.schema.json states them."""
    model_files: ModelFiles
    curves: dict[str, Any] = {}
    """By phase."""

    def identity(self) -> Any:
        return self.model_files.model_dump(mode="json")

    @property
    def parent_version(self) -> int | None:
        """Version of the champion that it grew from."""
        version = self.training.get("parent_model")
        return None if version is None else int(version)
