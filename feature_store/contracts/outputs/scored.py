"""The output of stage score_users: the facts of the lists it wrote."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class ListFacts(FrozenConfig):
    users: int
    rows: int
    fallback: dict[str, int]
    """Users by the reason why their list is a fallback."""
    items_not_scored: int
    model_name: str
    model_version: int
    manifest_sha256: str
    vocabulary_version: int
    data_version: int
    snapshot_id: str
    note: str | None
    """What was unusual about getting the model."""
    catalogue: dict[str, int] | None = None
    """Version of the table `items` that said so, and how many items are `unavailable` or `vanished`."""
    rules: dict[str, int | None] | None = None
    """Version of the shop's rules, how many there are, and how many lists they took an item from and were `filled`."""
    model: dict[str, Any]
    """What result.json says of the model that made the lists."""


class Scored(StageOutput):
    STAGE: ClassVar[str] = "score_users"
    lists: ListFacts
