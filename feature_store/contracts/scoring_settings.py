"""How lists are made of the model's scores."""

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.contracts.rerank_settings import CandidateSettings, RerankSettings


class FilterSeenSettings(FrozenConfig):
    actions: tuple[str, ...] = ("view", "click", "cart", "purchase", "rating")
    """Actions that hide an item from the user's list. `training_set.against_actions` always do."""
    days: int | None = None
    """Hide items for this many days; null: forever. If users buy again, set a window or fewer actions."""


class ScoringSettings(FrozenConfig):
    k: int = Field(10, ge=1)
    """Length of each user's list."""
    filter_seen: FilterSeenSettings = FilterSeenSettings()
    batch_users: int = Field(1024, ge=1)
    """Users per scoring batch."""
    fallback_days: int = 7
    """A user without history gets the popular items of this many days."""
    rerank: RerankSettings = RerankSettings()
    candidates: CandidateSettings = CandidateSettings()
    similar_items: int = Field(10, ge=0)
    """Length of each item's list of similar items; 0: none are made."""
    popular_items: int = Field(50, ge=0)
    """Length of each segment's list of popular items; 0: none are made."""
    rules: tuple[ListRule, ...] = ()
    """Rules of the shop (`kind`: allow, deny, price, stock, bought or cap), before those of the table `list_rules`."""
