"""Training: a ranker of sequences while it is trained, and what its curve depends on."""

from dataclasses import dataclass
from typing import Any, ClassVar

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.ranker.features import FeatureTables
from nightrank.ranker.model import Ranker
from nightrank.trainer.data.plan import REVISION
from nightrank.trainer.loop.resumable import Resumable


@dataclass(kw_only=True)
class Training(Resumable):
    """A ranker of sequences with what its items are described by."""

    ranker: Ranker
    lineage: str
    features: FeatureTables | None = None
    """What batches are filled from; None where the ranker reads nothing beside histories."""
    any_world_size: ClassVar[bool] = True
    champion_items: int = 0
    """A night's champion knows the ids 1 to this one."""

    @property
    def shares(self) -> int:
        """ConfigError where there are more ranks than shares."""
        shares, ranks = self.job.config.shares or self.communicator.size, self.communicator.size
        if shares < ranks:
            raise ConfigError(f"a step has {shares} shares for {ranks} ranks", "raise trainer.shares or lower trainer.workers")
        return shares

    @property
    def facts(self) -> dict[str, Any]:
        by_row = {} if self.table is None else {"table": self.table.facts}
        return by_row | {
            "snapshot": self.snapshot.id,
            "items": self.snapshot.items,
            "lineage": self.lineage,
            "seed": self.job.seed,
            "world_size": self.shares,
            "row_order": REVISION,
            "config": self.job.config.model_dump(mode="json", include=WHAT_THE_CURVE_DEPENDS_ON),
        }


WHAT_THE_CURVE_DEPENDS_ON = {
    "batch_rows",
    "micro_batch_tokens",
    "precision",
    "model",
    "loss",
    "optimizer",
    "slowmo",
    "fit",
    "refit",
    "night",
    "validation",
}


def check_rows(wanted: int, read: list[int], where: str) -> None:
    """DataContractError if the rows read over all ranks are not those of the epoch."""
    if sum(read) != wanted:
        raise DataContractError(
            f"{where}: {sum(read)} rows were read (by rank: {read}) of {wanted}", "run `nightrank verify` on the snapshot"
        )
