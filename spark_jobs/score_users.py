"""The champion's list for every known user, over the whole catalogue; `recommendations` changes in one commit."""

from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.erasures import PREFIX
from nightrank.feature_store.contracts.files import read_json, sha256_of
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.gated import Gated
from nightrank.feature_store.contracts.outputs.scored import ListFacts, Scored
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.storage import Location, discard
from nightrank.feature_store.contracts.tables import INTERACTIONS, ITEMS, RECOMMENDATIONS, VOCABULARY
from nightrank.feature_store.current import refuse_older
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.transforms.catalogue import UNAVAILABLE, VANISHED
from nightrank.feature_store.transforms.sequences import known_interactions
from nightrank.feature_store.transforms.splits import day_start
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.list_rows import OUTPUT
from nightrank.spark_jobs.executor.score import ScoreRules, list_scorer
from nightrank.spark_jobs.scoring import list_checks
from nightrank.spark_jobs.scoring.champion import Champion, list_model_facts, open_list_model
from nightrank.spark_jobs.scoring.features import features_of_bundle, with_features, write_item_sums
from nightrank.spark_jobs.scoring.hidden_items import write_hidden
from nightrank.spark_jobs.scoring.item_side import rerank_rules
from nightrank.spark_jobs.scoring.users import DAY, popular, segments, users_with_histories

NAME: Final = "score_users"
USERS_PER_TASK: Final = 20_000
ROWS_PER_FILE: Final = 250_000
"""Lists are in order of the user, so one user's rows are in one file of about this size."""


class Versions(NamedTuple):
    interactions: int
    vocabulary: int
    items: int


def release_id(context: StageContext) -> str:
    """The same for every attempt of a run, another for every run."""
    return sha256_of(["release", context.run_id])[:32]


def run(context: StageContext) -> StageResult:
    """Every known user has exactly min(k, eligible) rows of this run's release in `recommendations`."""
    settings = submit.settings(context)
    refuse_older(context)
    spark = get_session(settings.spark)
    # A name of its own: a Python worker that is reused must not find the files of an earlier attempt in its cache.
    work = context.run_dir / NAME / uuid4().hex
    result = StageResult(NAME)
    try:
        champion = open_list_model(context.lake, settings.mlflow, context.run_dir, work / "champion", _decided(context))
        versions = _versions(context)
        known = _known(spark, context, settings, versions)
        users, items = _ids(spark, context, versions, "user"), _highest_item(spark, context, versions)
        hidden, catalogue = write_hidden(spark, context, versions.items, versions.vocabulary, work / "hidden")
        rules = _rules(context, settings, champion, items, work)
        of_users = segments(spark, context, settings, versions.vocabulary)
        popular(context, settings, known, of_users).write.parquet((work / "popular").hadoop)
        rules = rules._replace(rerank=rerank_rules(spark, context, settings, (versions.items, versions.vocabulary), work))
        log.info(f"{NAME}: {champion.ref.name} version {champion.ref.version} over {rules.items} items")
        whole = with_features(users_with_histories(users, known, of_users), spark, context, rules.features)
        rules = rules._replace(item_sums=write_item_sums(spark, context, rules.features, work / "item_sums"))
        _scored(spark, whole, rules).write.parquet((work / "lists").hadoop)
        lists = spark.read.parquet((work / "lists").hadoop)
        facts = list_checks.check_complete(lists, users, _seen(known, rules), hidden, rules.items, rules.k)
        _commit(spark, context, champion, versions, lists, facts, result)
        result.rows_in = facts["users"]
        left_out = {"items_not_scored": items - rules.items}
        result.counts.update(left_out | {f"items_{name}": catalogue[name] for name in (UNAVAILABLE, VANISHED)})
        model = list_model_facts(champion, items)
        named = {**facts, **left_out, **_facts(context, champion, versions), "catalogue": catalogue}
        result.output = Scored(lists=ListFacts.model_validate({**named, "note": champion.note, "model": model}))
    finally:
        discard(context.run_dir / NAME)
    return result


def _decided(context: StageContext) -> str | None:
    """Manifest of the model that stage gate of this run named for the lists; None where this stage runs alone."""
    return context.output(Gated).lists_by.manifest_sha256 if context.has(Gated) else None


def _versions(context: StageContext) -> Versions:
    return Versions(*(delta_io.version(context.lake, table) or 0 for table in (INTERACTIONS, VOCABULARY, ITEMS)))


def _known(spark: SparkSession, context: StageContext, settings: DataSections, versions: Versions) -> DataFrame:
    """All that was known by the end of the date, of the actions that make a history or hide an item."""
    interactions = delta_io.read(spark, context.lake, INTERACTIONS, versions.interactions)
    rows = settings.training_set
    return known_interactions(
        interactions,
        day=context.day,
        timezone=settings.calendar.timezone,
        actions=tuple(sorted({*rows.history_actions, *settings.scoring.filter_seen.actions, *rows.against_actions})),
        against=rows.against_actions,
        weights=rows.action_weights,
    )


def _ids(spark: SparkSession, context: StageContext, versions: Versions, kind: str) -> DataFrame:
    """`user`, `user_id` of everybody in the vocabulary but erased users."""
    rows = delta_io.read(spark, context.lake, VOCABULARY, versions.vocabulary).where(F.col(c.KIND) == kind)
    if kind == "user":
        rows = rows.where(~F.col(c.RAW_ID).startswith(PREFIX))
    return rows.select(F.col(c.DENSE_ID).alias(c.USER), F.col(c.RAW_ID).alias(c.USER_ID))


def _highest_item(spark: SparkSession, context: StageContext, versions: Versions) -> int:
    row = _ids(spark, context, versions, "item").agg(F.max(c.USER).alias("highest")).first()
    return int(row["highest"] or 0) if row else 0


def _rules(context: StageContext, settings: DataSections, champion: Champion, items: int, work: Location) -> ScoreRules:
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


def _scored(spark: SparkSession, users: DataFrame, rules: ScoreRules) -> DataFrame:
    tasks = max(spark.sparkContext.defaultParallelism, -(-users.count() // USERS_PER_TASK))
    return users.repartition(tasks, c.USER).sortWithinPartitions(c.USER).mapInArrow(list_scorer(rules), to_spark(OUTPUT))


def _seen(known: DataFrame, rules: ScoreRules) -> DataFrame:
    """`user`, `item` that must not be listed: the rule once more, in Spark, to check the executors against."""
    seen = F.col(c.ACTION).isin(list(rules.seen_actions))
    if rules.seen_from is not None:
        seen &= F.col(c.EVENT_TIME) >= F.lit(rules.seen_from)
    return known.where(seen | F.col(c.ACTION).isin(list(rules.against_actions))).select(c.USER, c.ITEM).distinct()


def _commit(
    spark: SparkSession,
    context: StageContext,
    champion: Champion,
    versions: Versions,
    lists: DataFrame,
    facts: dict[str, Any],
    result: StageResult,
) -> None:
    named = _facts(context, champion, versions)
    constants = {
        c.RELEASE_ID: F.lit(release_id(context)),
        c.RUN_ID: F.lit(context.run_id),
        c.DATE: F.lit(context.day),
        c.LIST_ID: F.substring(F.sha2(F.concat_ws("|", F.lit(context.run_id), c.USER_ID), 256), 1, 32),
        **{name: F.lit(value) for name, value in named.items() if name in RECOMMENDATIONS.schema.names},
    }
    files = max(1, -(-facts["rows"] // ROWS_PER_FILE))
    rows = lists.withColumns(constants).repartitionByRange(files, c.USER_ID).sortWithinPartitions(c.USER_ID, c.RANK)
    before = delta_io.version(context.lake, RECOMMENDATIONS)
    commit = delta_io.replace(rows, context.lake, RECOMMENDATIONS, context=context, key=f"{NAME}:lists@{versions}")
    result.rows_out, result.bytes_written = facts["rows"], commit.bytes_written
    result.tables += table_entries(spark, context.lake, [(RECOMMENDATIONS, before)])


def _facts(context: StageContext, champion: Champion, versions: Versions) -> dict[str, str | int]:
    """What the lists were made with, under the names of the columns that say so.

    The snapshot is the run's own, also where an older champion scored: the manifest leads to the champion's.
    """
    snapshot = context.run_dir / "snapshot.json"
    return {
        c.MODEL_NAME: champion.ref.name,
        c.MODEL_VERSION: champion.ref.version,
        c.MANIFEST_SHA256: champion.ref.manifest_sha256,
        c.VOCABULARY_VERSION: versions.vocabulary,
        c.DATA_VERSION: versions.interactions,
        c.SNAPSHOT_ID: read_json(snapshot)["id"] if snapshot.exists() else champion.ref.snapshot_id,
    }


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
