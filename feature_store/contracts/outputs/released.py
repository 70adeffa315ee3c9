"""The output of stage release."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class ReleaseFacts(FrozenConfig):
    id: str
    recommendations_version: int
    users: int
    rows: int
    fallback: dict[str, int]
    catalogue: dict[str, int] | None = None
    """Version of the table `items` that said so, and how many items are `unavailable` or `vanished`."""
    rules: dict[str, int | None] | None = None
    """Version of the shop's rules, how many there are, and how many lists they took an item from and were `filled`."""
    model: dict[str, Any]


class Released(StageOutput):
    STAGE: ClassVar[str] = "release"
    release: ReleaseFacts
