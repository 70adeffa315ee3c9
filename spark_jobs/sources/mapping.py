"""The YAML that says which of the user's columns is which landing field."""

from pathlib import Path

import yaml
from pydantic import Field, field_validator

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.config import FrozenConfig, validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.spark_jobs.sources.cells import IdType
from nightrank.spark_jobs.sources.files import Format
from nightrank.spark_jobs.sources.times import TimeFormat, Unit

Names = tuple[str, ...]


class TimeMapping(FrozenConfig):
    format: str = "auto"
    """auto (ISO 8601 text, Arrow timestamps, numbers as epoch), epoch, or strptime directives."""
    unit: Unit = "s"
    timezone: str = "UTC"
    """Zone of times that name none."""

    def how(self) -> TimeFormat:
        return TimeFormat(self.format, self.unit, self.timezone)


class FileMapping(FrozenConfig):
    path: str | None = None
    """Beside the input (inside it, where it is a folder); None: the input itself."""
    format: Format | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    time: TimeMapping = TimeMapping()


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
    actions: dict[str, str] = {}
    """Your names of actions -> impression | view | click | cart | purchase | rating | other."""
    default_action: str = "view"
    """Where there is no action column."""

    @field_validator("actions")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for target in value.values():
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
    created: str | None = None
    availability_time: str | None = None


class ItemMapping(FileMapping):
    columns: ItemColumns
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
    events: EventMapping | None = None
    items: ItemMapping | None = None
    users: UserMapping | None = None
    impressions: ImpressionMapping | None = None


def load_mapping(path: Path) -> Mapping:
    """The mapping of a YAML file; ConfigError names the file and every key or value that is wrong."""
    if not path.exists():
        raise ConfigError(f"mapping {path} does not exist", "start from conf/mapping-example.yaml")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"mapping {path} is not YAML: {' '.join(str(error).split())}", "mend the file") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"mapping {path} holds a {type(tree).__name__}, not keys", "start from conf/mapping-example.yaml")
    try:
        return validate(Mapping, tree)
    except ConfigError as error:
        raise ConfigError(
            f"mapping {path}: {error.message.removeprefix('configuration: ')}",
            "conf/mapping-example.yaml shows every key",
        ) from None


def _known_action(name: str) -> str:
    if name not in ACTION_CODES:
        raise ValueError(f"action {name!r} is none of {', '.join(ACTION_CODES)}")
    return name
