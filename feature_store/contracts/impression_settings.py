"""The section `impressions`: what a row for click rankers holds. Engine-free, as all settings are."""

from collections.abc import Iterable
from typing import Final

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import PREFIXES, named_by_rows, parse
from nightrank.feature_store.contracts.config import FrozenConfig

FIELDS: Final = ("user", "item", "category", "hour", "weekday", "position")
NUMBERS: Final = ("log_price", "log_history", "position_number")
"""log(1 + price), log(1 + events of the user that were known), the place in the list."""
CONTEXT_PREFIX: Final = "context."
ATTRIBUTE_PREFIX: Final = "attribute."


class ImpressionSettings(FrozenConfig):
    """Training rows for click rankers: one per shown item, with what was known then and what the user did next."""

    enabled: bool = False
    """Build these rows, and run the stages that train, register and score with a click ranker."""
    shown: tuple[str, ...] = ("impression",)
    """Actions that make a row; `view` for a log without impressions."""
    labels: tuple[str, ...] = Field(("click",), min_length=1)
    """Actions to predict, in the order of the ranker's outputs."""
    label_minutes: float = Field(60.0, gt=0)
    """An action later than this does not count. Rows whose time is not over yet are left out. Without a clock any later action
    counts."""
    days: int = Field(30, ge=1)
    """Use the rows of this many days up to the run's day; without a clock, all rows."""
    fields: tuple[str, ...] = ("user", "item", "category", "hour", "weekday", "position")
    """Categorical inputs: FIELDS, `context.<key>` of the events' context, and `attribute.<key>` of the user's attributes, known
    from the time they became available."""
    numeric: tuple[str, ...] = ("log_price", "log_history")
    """Numbers: NUMBERS, `context.<key>`, and `user_<aggregate>` or `item_<aggregate>` such as `user_count_7d`: what was known
    of the row's user or item when its day began. Names of aggregates are those of `features.user`."""
    history: int = Field(50, ge=0)
    """How many of the newest items of the user's history a row holds; 0: none."""
    history_actions: tuple[str, ...] = ("click", "cart", "purchase", "rating")
    """Actions whose items make up a row's history."""
    least_rows: int = Field(1, ge=1)
    """A value in fewer training rows than this counts as unknown."""
    most_values: int = Field(1_000_000, ge=1)
    """At most this many values of a field get a code: the most frequent ones."""
    serving: dict[str, str] = {"position": "1"}
    """Values to use for fields that are not known when released lists are scored; a field without an entry counts as
    unknown."""

    @model_validator(mode="after")
    def _names_are_known(self) -> "ImpressionSettings":
        inputs = (*self.fields, *self.numeric)
        if len(set(inputs)) < len(inputs):
            raise ValueError(f"fields and numeric {list(inputs)} contain a name twice")
        for aggregates in named_by_rows(self.numeric).values():
            for name in aggregates:
                parse(name)
        _check_known((*self.fields, *self.serving), (*FIELDS, f"{ATTRIBUTE_PREFIX}<key>"), (ATTRIBUTE_PREFIX,))
        _check_known(self.numeric, (*NUMBERS, "user_<aggregate>", "item_<aggregate>"), tuple(PREFIXES.values()))
        unknown = [name for name in (*self.shown, *self.labels, *self.history_actions) if name not in ACTION_CODES]
        if unknown or set(self.shown) & set(self.labels):
            raise ValueError(f"shown {list(self.shown)}, labels {list(self.labels)}: actions are {', '.join(ACTION_CODES)}")
        if "item" not in self.fields:
            raise ValueError(f"fields {list(self.fields)} lack item")
        return self


def _check_known(names: Iterable[str], known: tuple[str, ...], prefixes: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in known and not name.startswith((CONTEXT_PREFIX, *prefixes))]
    if unknown:
        raise ValueError(f"unknown input {', '.join(unknown)}: there are {', '.join(known)} and {CONTEXT_PREFIX}<key>")
