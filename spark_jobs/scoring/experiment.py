"""The experiment of a night's lists: what executors are told, and the table that keeps what was drawn."""

from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.experiment_settings import ExperimentSettings
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import EXPERIMENT_LISTS
from nightrank.feature_store.entries import record
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.experiment import ExperimentRules
from nightrank.spark_jobs.executor.rerank import RerankRules


def experiment_rules(context: StageContext, settings: DataSections, side: RerankRules | None) -> ExperimentRules | None:
    """None where experiments are off. `side` holds what re-ranking knows of items, where any rule of any arm is on."""
    experiment = settings.experiments
    if not experiment.enabled:
        return None
    rerank = {name: side and _active(side, experiment, name) for name in experiment.arms}
    return ExperimentRules(experiment.name, experiment.shares, rerank, experiment.explore, str(context.day))


def _active(side: RerankRules, experiment: ExperimentSettings, arm: str) -> RerankRules | None:
    """The arm's own rules, or those of `scoring.rerank`."""
    own = experiment.arms[arm].rerank
    return active(side if own is None else side._replace(settings=own))


def active(rules: RerankRules | None) -> RerankRules | None:
    """None where no rule has a weight and nothing but the model proposes: lists are the model's best then."""
    return rules if rules is not None and (rules.settings.is_on or rules.candidates.is_on) else None


def keep_lists(lists: DataFrame, context: StageContext, settings: DataSections, result: StageResult) -> None:
    """`experiment_lists` holds this date's lists, and those of the `experiments.days` before it. `lists` are rows of
    `recommendations` with what was drawn, in each list's first row. Nothing where experiments are off."""
    experiment = settings.experiments
    if not experiment.enabled:
        return
    heads = lists.where((F.col(c.RANK) == 1) & F.col(c.VARIANT).isNotNull())
    rows = heads.withColumn(c.EXPERIMENT, F.lit(experiment.name)).select(*EXPERIMENT_LISTS.schema.names)
    oldest = context.day - timedelta(days=experiment.days)
    condition = f"date = DATE'{context.day}' OR date < DATE'{oldest}'"
    key = f"score_users:experiment@{experiment.name}"
    if delta_io.exists(context.lake, EXPERIMENT_LISTS):
        commit = delta_io.replace_where(rows, context.lake, EXPERIMENT_LISTS, condition, context=context, key=key)
    else:
        commit = delta_io.replace(rows, context.lake, EXPERIMENT_LISTS, context=context, key=key)
    record(result, lists.sparkSession, context.lake, commit)
