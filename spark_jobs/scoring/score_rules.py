"""What executors are told: the model, the length of lists, what is history and what is seen; and the same rules in Spark."""

from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import INTERACTIONS
from nightrank.feature_store.days import day_start
from nightrank.feature_store.transforms.sequences import known_interactions
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.users import ScoreRules
from nightrank.spark_jobs.scoring.champion import Champion
from nightrank.spark_jobs.scoring.features import features_of_bundle
from nightrank.spark_jobs.scoring.shop_rules import Shop
from nightrank.spark_jobs.scoring.users import DAY, acted


def known_of(spark: SparkSession, context: StageContext, settings: DataSections, shop: Shop, version: int) -> DataFrame:
    """All that was known by the end of the date, of the actions that make a history or hide an item."""
    interactions = delta_io.read(spark, context.lake, INTERACTIONS, version)
    rows = settings.training_set
    bought = [name for rule in shop.rules if rule.kind == "bought" for name in rule.actions]
    return known_interactions(
        interactions,
        day=context.day,
        timezone=settings.calendar.timezone,
        actions=tuple(sorted({*rows.history_actions, *settings.scoring.filter_seen.actions, *bought, *rows.against_actions})),
        against=rows.against_actions,
        weights=rows.action_weights,
    )


def rules_of(context: StageContext, settings: DataSections, champion: Champion, items: int, work: Location) -> ScoreRules:
    scoring, rows = settings.scoring, settings.training_set
    end = day_start(context.day + timedelta(days=1), settings.calendar.timezone)
    days = scoring.filter_seen.days
    return ScoreRules(
        bundle=str(champion.shared),
        manifest=champion.ref.manifest_sha256,
        popular=str(work / "popular"),
        hidden=str(work / "hidden"),
        # Ids beyond the bundle's matrix came after it was made: not scored, and counted.
        items=min(items, int(read_json(champion.folder / "config.json")["items"])),
        k=scoring.k,
        batch_users=scoring.batch_users,
        max_length=rows.max_length,
        history_actions=tuple(ACTION_CODES[name] for name in rows.history_actions),
        collapse_repeats=rows.collapse_repeats,
        seen_actions=tuple(ACTION_CODES[name] for name in scoring.filter_seen.actions),
        seen_from=None if days is None else end - days * DAY,
        against_actions=tuple(ACTION_CODES[name] for name in rows.against_actions),
        features=features_of_bundle(champion.folder),
    )


def seen_of(known: DataFrame, rules: ScoreRules) -> DataFrame:
    """`user`, `item` that must not be listed: the rule once more, in Spark, to check the executors against."""
    seen = acted(rules.seen_actions, rules.seen_from) | acted(rules.against_actions, None)
    return known.where(seen).select(c.USER, c.ITEM).distinct()
