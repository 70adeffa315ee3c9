"""The champion's list for every known user, over the whole catalogue; `recommendations` changes in one commit."""

from typing import Any, Final, NamedTuple
from uuid import uuid4

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.erasures import PREFIX
from nightrank.feature_store.contracts.files import read_json, sha256_of
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.gated import Gated
from nightrank.feature_store.contracts.outputs.scored import ListFacts, Scored
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.storage import discard, locate
from nightrank.feature_store.contracts.tables import (
    INTERACTIONS,
    ITEMS,
    POPULAR_ITEMS,
    RECOMMENDATIONS,
    SIMILAR_ITEMS,
    VOCABULARY,
    TableRef,
)
from nightrank.feature_store.current import refuse_older
from nightrank.feature_store.entries import record
from nightrank.feature_store.session import get_session
from nightrank.feature_store.transforms.catalogue import UNAVAILABLE, VANISHED
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.users import ScoreRules
from nightrank.spark_jobs.scoring import list_checks
from nightrank.spark_jobs.scoring.champion import Champion, list_model_facts, open_list_model
from nightrank.spark_jobs.scoring.experiment import active, experiment_rules, keep_lists
from nightrank.spark_jobs.scoring.features import with_features, write_item_sums
from nightrank.spark_jobs.scoring.hidden_items import write_hidden
from nightrank.spark_jobs.scoring.item_side import rerank_rules
from nightrank.spark_jobs.scoring.other_lists import Catalogue, popular_items, similar_items
from nightrank.spark_jobs.scoring.score_rules import known_of, rules_of, seen_of
from nightrank.spark_jobs.scoring.shop_rules import Shop, capped_items, counts, hidden_by_all, shop_rules, with_bought
from nightrank.spark_jobs.scoring.unchanged import with_inputs, write_lists
from nightrank.spark_jobs.scoring.users import popular, segments, users_with_histories

NAME: Final = "score_users"
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
        shop = shop_rules(spark, context, settings, (versions.items, versions.vocabulary), work / "shop_items")
        known = known_of(spark, context, settings, shop, versions.interactions)
        users, items = _ids(spark, context, versions, "user"), _highest_item(spark, context, versions)
        hidden, catalogue = write_hidden(spark, context, versions.items, versions.vocabulary, work / "hidden")
        rules = rules_of(context, settings, champion, items, work)._replace(shop=shop.executors)
        of_users = segments(spark, context, settings, versions.vocabulary)
        popular(context, settings, known, of_users).write.parquet((work / "popular").hadoop)
        side = rerank_rules(spark, context, settings, (versions.items, versions.vocabulary), work)
        rules = rules._replace(rerank=active(side), experiment=experiment_rules(context, settings, side))
        log.info(f"{NAME}: {champion.ref.name} version {champion.ref.version} over {rules.items} items")
        whole = with_features(users_with_histories(users, known, of_users), spark, context, rules.features)
        rules = rules._replace(item_sums=write_item_sums(spark, context, rules.features, work / "item_sums"))
        scored = write_lists(spark, context.lake, with_inputs(whole, spark, context, rules), rules, work)
        lists = spark.read.parquet((work / "lists").hadoop)
        out = hidden_by_all(spark, hidden, shop)
        facts = _checked(lists, users, known, out, rules, shop)
        _commit_others(spark, context, settings, known, out, versions, rules, result)
        rows = _with_facts(context, lists, _facts(context, champion, versions))
        keep_lists(rows, context, settings, result)
        _commit(spark, context, versions, rows, facts, result)
        result.rows_in = facts["users"]
        left_out = {"items_not_scored": items - rules.items}
        result.counts |= {"users_scored": scored, "users_unchanged": facts["users"] - scored}
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


def _ids(spark: SparkSession, context: StageContext, versions: Versions, kind: str) -> DataFrame:
    """`user`, `user_id` of everybody in the vocabulary but erased users."""
    rows = delta_io.read(spark, context.lake, VOCABULARY, versions.vocabulary).where(F.col(c.KIND) == kind)
    if kind == "user":
        rows = rows.where(~F.col(c.RAW_ID).startswith(PREFIX))
    return rows.select(F.col(c.DENSE_ID).alias(c.USER), F.col(c.RAW_ID).alias(c.USER_ID))


def _highest_item(spark: SparkSession, context: StageContext, versions: Versions) -> int:
    row = _ids(spark, context, versions, "item").agg(F.max(c.USER).alias("highest")).first()
    return int(row["highest"] or 0) if row else 0


def _checked(
    lists: DataFrame, users: DataFrame, known: DataFrame, out: DataFrame, rules: ScoreRules, shop: Shop
) -> dict[str, Any]:
    """The facts of lists that are complete and follow every rule; DataContractError otherwise. `out` are the items of none."""
    seen = with_bought(seen_of(known, rules), known, shop)
    caps = list(capped_items(lists.sparkSession, shop))
    facts = list_checks.check_complete(lists, users, seen, out, rules.items, rules.k, caps)
    return {**facts, "rules": counts(lists, shop)}


def _commit_others(
    spark: SparkSession,
    context: StageContext,
    settings: DataSections,
    known: DataFrame,
    out: DataFrame,
    versions: Versions,
    rules: ScoreRules,
    result: StageResult,
) -> None:
    """Lists that are nobody's own, each in one commit; the release names their versions."""
    ids = _ids(spark, context, versions, "item").withColumnsRenamed({c.USER: c.ITEM, c.USER_ID: c.ITEM_ID})
    catalogue = Catalogue(ids, out)
    made: list[tuple[TableRef, DataFrame]] = []
    if settings.scoring.similar_items:
        made.append((SIMILAR_ITEMS, similar_items(spark, settings, known, catalogue, rules)))
    if settings.scoring.popular_items:
        made.append((POPULAR_ITEMS, popular_items(settings, spark.read.parquet(locate(rules.popular).hadoop), catalogue)))
    commits = []
    for table, rows in made:
        rows = rows.withColumns(_constants(context)).coalesce(1).sortWithinPartitions(*table.keys)
        key = f"{NAME}:{table.name}@{versions}"
        commits.append(delta_io.replace(rows, context.lake, table, context=context, key=key))
    record(result, spark, context.lake, *commits)


def _constants(context: StageContext) -> dict[str, Column]:
    return {c.RELEASE_ID: F.lit(release_id(context)), c.RUN_ID: F.lit(context.run_id), c.DATE: F.lit(context.day)}


def _commit(
    spark: SparkSession, context: StageContext, versions: Versions, lists: DataFrame, facts: dict[str, Any], result: StageResult
) -> None:
    files = max(1, -(-facts["rows"] // ROWS_PER_FILE))
    rows = lists.repartitionByRange(files, c.USER_ID).sortWithinPartitions(c.USER_ID, c.RANK)
    commit = delta_io.replace(rows, context.lake, RECOMMENDATIONS, context=context, key=f"{NAME}:lists@{versions}")
    result.rows_out = facts["rows"]
    record(result, spark, context.lake, commit)


def _with_facts(context: StageContext, lists: DataFrame, named: dict[str, str | int]) -> DataFrame:
    constants = {
        **_constants(context),
        c.LIST_ID: F.substring(F.sha2(F.concat_ws("|", F.lit(context.run_id), c.USER_ID), 256), 1, 32),
        **{name: F.lit(value) for name, value in named.items() if name in RECOMMENDATIONS.schema.names},
    }
    return lists.withColumns(constants)


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
