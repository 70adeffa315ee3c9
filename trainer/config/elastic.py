"""What happens when a rank is lost."""

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class ElasticConfig(FrozenConfig):
    restarts: int = Field(0, ge=0)
    """How often lost or hung ranks are answered by starting all of them again, from the last checkpoint. 0: the stage ends with
    6, and the same command goes on."""
    fewest: int | None = Field(None, ge=1)
    """Ranks to go on with at least. A start that reached no further checkpoint is followed by one with a rank less; null: there
    are always as many as `workers`."""
