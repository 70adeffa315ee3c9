"""The YAML that says which of the user's columns is which landing field."""

import codecs
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.config import FrozenConfig, validate
from nightrank.feature_store.contracts.doors import read_yaml
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.spark_jobs.sources.formats import MISSING, Format, IdFormat, IdType, NumberFormat, Reading, TimeFormat, Unit

Names = tuple[str, ...]
IGNORE: Final = "ignore"


class TimeMapping(FrozenConfig):
    format: str = "auto"
    """auto (ISO 8601 text, Arrow timestamps, numbers as epoch), epoch, or strptime directives."""
    unit: Unit | None = None
    """Of epoch numbers; None: found from the size of a column's numbers, and said."""
    timezone: str = "UTC"
    """Zone of times that name none."""

    def how(self) -> TimeFormat:
        return TimeFormat(self.format, self.unit, self.timezone)


class NumberMapping(FrozenConfig):
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", "'", "’", " "] | None = None
    currency: bool = False
    """Cut off a currency sign or a three-letter code before or behind the number."""

    @model_validator(mode="after")
    def _differ(self) -> "NumberMapping":
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}: use two different characters")
        return self

    def how(self) -> NumberFormat:
        return NumberFormat(self.decimal, self.thousands, self.currency)


class IdMapping(FrozenConfig):
    trim: bool = True
    """Remove spaces around an id."""
    missing: Names = MISSING
    """Words that mean "no id"; an empty cell always does."""


class FileMapping(FrozenConfig):
    path: str | None = None
    """Beside the input (inside it, where it is a folder); None: the input itself."""
    format: Format | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """None: found from the first rows."""
    encoding: str | None = None
    """None: UTF-8, UTF-16 or Windows-1252, found from the first bytes."""
    quote: str | None = Field(None, pattern=r"^(.|none)$")
    """None: found from the header; `none`: quotes are text like any other."""
    header: Names | None = None
    """Column names of a CSV file without a header row."""
    explode: str | None = None
    """A column of lists: every element becomes a row, and its fields are named below it, as in `lines.sku`."""
    time: TimeMapping = TimeMapping()
    numbers: NumberMapping = NumberMapping()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            return value if value is None else codecs.lookup(value).name
        except LookupError:
            raise ValueError(f"encoding {value!r} is not known, write for example utf-8, utf-16 or windows-1252") from None

    def reading(self) -> Reading:
        return Reading(self.format, self.delimiter, self.encoding, self.quote, self.header, self.explode)


class EventColumns(FrozenConfig):
    user_id: str
    item_id: str
    event_id: str | None = None
    action: str | None = None
    event_time: str | None = None
    """Without it the order of a user's rows is the clock."""
    availability_time: str | None = None
    value: str | None = None
    position: str | None = None
    propensity: str | None = None
    session_id: str | None = None
    list_id: str | None = None
    context: Names = ()


class EventMapping(FileMapping):
    columns: EventColumns
    actions: dict[str, str | None] = {}
    """Your names of actions -> impression | view | click | cart | purchase | rating | refund | dislike | skip | other, or
    ignore (as null): such rows are not taken in."""
    unknown_actions: Literal["other", "ignore"] = "other"
    """For actions that are not named here. `other` is kept as an event but does not count as interest."""
    default_action: str = "view"
    """Where there is no action column."""

    @field_validator("actions")
    @classmethod
    def _known(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for target in value.values():
            if target not in (None, IGNORE):
                _known_action(target)
        return value

    @field_validator("default_action")
    @classmethod
    def _known_default(cls, value: str) -> str:
        return _known_action(value)


class ItemColumns(FrozenConfig):
    item_id: str
    title: str | None = None
    text: str | None = None
    categories: str | None = None
    price: str | None = None
    numbers: Names = ()
    """More columns that are numbers, such as a weight: `features.numbers` names those that rankers read."""
    created: str | None = None
    availability_time: str | None = None
    available: str | None = None
    """Whether it is on sale: true or false, a word such as `in stock`, or the number in stock."""


class ItemMapping(FileMapping):
    columns: ItemColumns
    complete: bool = False
    """The file holds every item there is: an item that is not in it is not recommended any more."""
    categories_separator: str = "|"


class UserColumns(FrozenConfig):
    user_id: str
    attributes: Names = ()
    availability_time: str | None = None


class UserMapping(FileMapping):
    columns: UserColumns


class ImpressionColumns(FrozenConfig):
    label: str = "label"
    user_id: str = "user"
    item_id: str = "item"
    event_time: str | None = None
    position: str | None = None
    propensity: str | None = None
    session_id: str | None = None
    list_id: str | None = None
    context: Names | None = None
    """None: every other column."""


class ImpressionMapping(FileMapping):
    columns: ImpressionColumns = ImpressionColumns()


class Mapping(FrozenConfig):
    """The whole file. `events`, `items` and `users` are for `import events`, `impressions` for `import impressions`."""

    id_type: IdType | None = None
    """None: int64 where the id columns of an impressions file are integers, else string."""
    ids: IdMapping = IdMapping()
    events: EventMapping | None = None
    items: ItemMapping | None = None
    users: UserMapping | None = None
    impressions: ImpressionMapping | None = None

    def id_format(self, otherwise: IdType = "string") -> IdFormat:
        return IdFormat(self.id_type or otherwise, self.ids.trim, self.ids.missing)


def load_mapping(path: Path) -> Mapping:
    """The mapping of a YAML file; ConfigError names the file and every key or value that is wrong."""
    tree = read_yaml(path, "mapping", "start from conf/mapping-example.yaml, or `nightrank import --guess FILE`")
    try:
        return validate(Mapping, tree)
    except ConfigError as error:
        raise ConfigError(
            f"mapping {path}: {error.message.removeprefix('configuration: ')}",
            "conf/mapping-example.yaml shows every key",
        ) from None


def _known_action(name: str | None) -> str:
    if name is None or name not in ACTION_CODES:
        raise ValueError(f"action {name!r} is none of {IGNORE}, {', '.join(ACTION_CODES)}")
    return name
