"""The sections of the configuration that data jobs read, by name and with their types."""

from dataclasses import dataclass

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.experiment_settings import ExperimentSettings
from nightrank.feature_store.contracts.feature_settings import FeatureSettings
from nightrank.feature_store.contracts.impression_settings import ImpressionSettings
from nightrank.feature_store.contracts.scoring_settings import FilterSeenSettings, ScoringSettings
from nightrank.feature_store.contracts.settings import (
    BaselineSettings,
    CalendarSettings,
    IdSettings,
    IngestSettings,
    MlflowSettings,
    SparkSettings,
    TextSettings,
    TrainingSetSettings,
)


@dataclass(frozen=True)
class DataSections:
    """Each is validated when it is first read. ConfigError for one that the stage does not declare (`contracts/inputs.py`)."""

    config: Configuration

    @property
    def calendar(self) -> CalendarSettings:
        return self.config.section("calendar", CalendarSettings)

    @property
    def ids(self) -> IdSettings:
        return self.config.section("ids", IdSettings)

    @property
    def ingest(self) -> IngestSettings:
        return self.config.section("ingest", IngestSettings)

    @property
    def features(self) -> FeatureSettings:
        return self.config.section("features", FeatureSettings)

    @property
    def text(self) -> TextSettings:
        return self.config.section("text", TextSettings)

    @property
    def training_set(self) -> TrainingSetSettings:
        return self.config.section("training_set", TrainingSetSettings)

    @property
    def impressions(self) -> ImpressionSettings:
        return self.config.section("impressions", ImpressionSettings)

    @property
    def baselines(self) -> BaselineSettings:
        return self.config.section("baselines", BaselineSettings)

    @property
    def scoring(self) -> ScoringSettings:
        return self.config.section("scoring", ScoringSettings)

    @property
    def experiments(self) -> ExperimentSettings:
        return self.config.section("experiments", ExperimentSettings)

    @property
    def filter_seen(self) -> FilterSeenSettings:
        """The part of `scoring` that decides which targets a training set may have."""
        return self.config.section("scoring.filter_seen", FilterSeenSettings)

    @property
    def spark(self) -> SparkSettings:
        return self.config.section("spark", SparkSettings)

    @property
    def mlflow(self) -> MlflowSettings:
        return self.config.section("mlflow", MlflowSettings)
