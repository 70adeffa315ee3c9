"""The section `features`: what is counted of users and items beside their histories, and the limits of one user's events."""

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.aggregates import reads_of
from nightrank.feature_store.contracts.columns import PRICE
from nightrank.feature_store.contracts.config import FrozenConfig


class FeatureSettings(FrozenConfig):
    user: tuple[str, ...] = ()
    """As-of aggregates of the user that rankers read, such as `count_7d`, `purchase_28d` or `recency_days`: each event of a
    history has the values known when its day began. `plugin.<name>` is a feature of your own package. If the list is empty,
    nothing is computed."""
    item: tuple[str, ...] = ()
    """The same for the item of the event."""
    attributes: tuple[str, ...] = ()
    """Keys of the users' attributes that rankers read. A value counts from the time it became available."""
    numbers: tuple[str, ...] = ()
    """Numbers of items that rankers read beside the price, such as a weight: names in `columns.numbers` of the mapping. Their
    logarithms are standardised over the items of the training rows; a number that is missing has a mark of its own."""
    segment_attribute: str | None = None
    """User attribute that gives the segment of cold users; if null, there is one segment."""
    most_events_user_day: int | None = Field(3000, ge=1)
    """Events of one user on one day beyond this stay in `events` but are left out of training, popularity and features. Null:
    no limit. Without a clock there is no limit."""
    most_events_user_item: int | None = Field(100, ge=1)
    """The same for one user and one item, over all days."""

    @model_validator(mode="after")
    def _names_are_known(self) -> "FeatureSettings":
        for names in (self.user, self.item):
            for name in names:
                reads_of(name)
        if PRICE in self.numbers:
            raise ValueError("features.numbers names price, which is read wherever an item has one: leave it out")
        for names in (self.user, self.item, self.attributes, self.numbers):
            if len(set(names)) < len(names):
                raise ValueError(f"{list(names)} contain a name twice")
        return self
