"""Rules that re-order the model's lists. All are off unless a weight is set: then lists are exactly the model's best."""

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class RerankSettings(FrozenConfig):
    """In this order: popularity, freshness, session, calibration, diversity, volume, new items (docs/adr/0027)."""

    candidates: int = Field(50, ge=1)
    """Number of the model's best items of a user that the rules choose from; `scoring.k` at least."""
    popularity: float = Field(0.0, ge=-1, le=1)
    """Weight against popular items, by the counts of `scoring.fallback_days`; below 0 popular items move up."""
    freshness: float = Field(0.0, ge=-1, le=1)
    """Weight of items that came to the catalogue lately; below 0 old items move up."""
    half_life_days: float = Field(14.0, gt=0)
    """Freshness is halved after this many days in the catalogue."""
    session: float = Field(0.0, ge=0, le=1)
    """Weight of items that are like the user's newest ones, by the model's item vectors."""
    session_items: int = Field(3, ge=1)
    """Number of newest items that a session consists of."""
    calibration: float = Field(0.0, ge=0, le=1)
    """Weight of the user's own mix of categories (Steck 2018), by the first category of each item."""
    diversity: float = Field(0.0, ge=0, le=1)
    """Weight of being unlike the items above (MMR, Carbonell and Goldstein 1998), by the model's item vectors."""
    volume: float = Field(0.0, ge=0, le=1)
    """Weight of a list that is diverse as a whole (DPP, Chen et al. 2018), by the model's item vectors."""
    new_share: float = Field(0.0, ge=0, le=1)
    """Share of the places that new items get, as far as there are any among the candidates."""
    new_days: float = Field(7.0, gt=0)
    """An item is new for this many days in the catalogue."""

    @property
    def is_on(self) -> bool:
        """A rule has a weight."""
        weights = (self.popularity, self.freshness, self.session, self.calibration, self.diversity, self.volume, self.new_share)
        return any(weight != 0 for weight in weights)


class CandidateSettings(FrozenConfig):
    """What proposes items beside the model. The model scores them too, so only rules of `scoring.rerank` can move them up."""

    popular: int = Field(0, ge=0)
    """Number of popular items of the user's segment that are candidates too."""
    fresh: int = Field(0, ge=0)
    """Number of the newest items of the catalogue that are candidates too."""
    item_to_item: int = Field(0, ge=0)
    """Number of items like each of the user's `scoring.rerank.session_items` newest ones that are candidates too."""

    @property
    def is_on(self) -> bool:
        return any((self.popular, self.fresh, self.item_to_item))
