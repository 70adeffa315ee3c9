"""A shop's rules for lists: what may be shown, to whom not again, and how much of a category. From YAML and from a table."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.config import FrozenConfig

Kind = Literal["allow", "deny", "price", "stock", "bought", "cap"]
FIELDS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "allow": ((), ("item", "category")),
    "deny": ((), ("item", "category")),
    "price": ((), ("category", "lowest", "highest")),
    "stock": (("number",), ("category", "lowest", "highest")),
    "bought": (("actions",), ("days",)),
    "cap": (("category", "at_most"), ()),
}
"""Of each kind: the fields that it must have, and those that it may have. `note` is free everywhere."""
ONE_OF: Final[dict[str, tuple[str, ...]]] = {
    "allow": ("item", "category"),
    "deny": ("item", "category"),
    "price": ("lowest", "highest"),
    "stock": ("lowest", "highest"),
}
"""Of these at least one is needed."""


class ListRule(FrozenConfig):
    """One rule. `allow`: only items that an allow rule names are shown. `deny`: these are not. `price` and `stock`: only items
    within the range. `bought`: what the user had these actions on is not shown to this user. `cap`: at most so many."""

    kind: Kind
    item: str | None = None
    category: str | None = None
    number: str | None = None
    """Name of the item's number that says what is in stock."""
    lowest: float | None = None
    highest: float | None = None
    actions: tuple[str, ...] = ()
    days: int | None = Field(None, ge=1)
    """Null: forever."""
    at_most: int | None = Field(None, ge=0)
    note: str | None = None

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> "ListRule":
        needed, free = FIELDS[self.kind]
        given = {
            name for name in type(self).model_fields if name not in ("kind", "note") and getattr(self, name) not in (None, ())
        }
        if missing := [name for name in needed if name not in given]:
            raise ValueError(f"a {self.kind} rule needs {', '.join(missing)}")
        if extra := sorted(given - {*needed, *free}):
            raise ValueError(f"a {self.kind} rule has no {', '.join(extra)}: it takes {', '.join((*needed, *free))}")
        if self.kind in ONE_OF and not given & {*ONE_OF[self.kind]}:
            raise ValueError(f"a {self.kind} rule needs {' or '.join(ONE_OF[self.kind])}")
        if self.lowest is not None and self.highest is not None and self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest:g} is above highest {self.highest:g}")
        if unknown := sorted({*self.actions} - ACTION_CODES.keys()):
            raise ValueError(f"unknown action {', '.join(unknown)}: there are {', '.join(ACTION_CODES)}")
        return self

    def names(self, item_id: str, categories: Collection[str]) -> bool:
        """Whether the rule is about this item."""
        return (self.item is None or self.item == item_id) and (self.category is None or self.category in categories)

    @property
    def label(self) -> str:
        """What a list calls the rule, such as `deny item i3` or `cap games 2`."""
        of = f" of {self.category}" if self.category else ""
        match self.kind:
            case "allow" | "deny":
                return f"{self.kind} " + " in ".join(
                    f"{name} {value}" for name, value in (("item", self.item), ("category", self.category)) if value
                )
            case "cap":
                return f"cap {self.category} {self.at_most}"
            case "bought":
                return f"bought {'|'.join(self.actions)}" + (f" {self.days} days" if self.days else "")
        return f"{self.kind} {_range(self.lowest, self.highest)}{of}"


def may_be_shown(
    rules: Sequence[ListRule], item_id: str, categories: Collection[str], price: float | None, numbers: Mapping[str, float]
) -> bool:
    """Whether the rules about items let this one through: the definition for one item, in plain Python."""
    about = [rule for rule in rules if rule.names(item_id, categories)]
    if any(rule.kind == "deny" for rule in about):
        return False
    if any(rule.kind == "allow" for rule in rules) and not any(rule.kind == "allow" for rule in about):
        return False
    return all(
        _inside(price if rule.kind == "price" else numbers.get(rule.number or ""), rule)
        for rule in about
        if rule.kind in ("price", "stock")
    )


def _inside(value: float | None, rule: ListRule) -> bool:
    low, high = rule.lowest, rule.highest
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _range(lowest: float | None, highest: float | None) -> str:
    return f"{'' if lowest is None else f'{lowest:g}'}..{'' if highest is None else f'{highest:g}'}"
