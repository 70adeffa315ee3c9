"""The click ranker's probability of each action for every item of the released lists, as of the end of the date."""

from datetime import timedelta
from typing import Any, Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.impression_settings import CONTEXT_PREFIX
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.outputs.ctr import CtrScores, ScoredCtr
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.snapshot import Impressions, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.storage import discard
from nightrank.feature_store.contracts.tables import CLICK_SCORES, ITEMS, RECOMMENDATIONS, VOCABULARY
from nightrank.feature_store.days import day_number, day_start
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.transforms import impression_inputs as inputs
from nightrank.feature_store.transforms.catalogue import known_items
from nightrank.feature_store.transforms.vocabulary import dense
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.ctr_score import OUTPUT, CtrRules, ctr_scorer
from nightrank.spark_jobs.features.row_features import with_aggregates, with_attributes
from nightrank.spark_jobs.scoring.champion import open_model
from nightrank.spark_jobs.training_set.past_events import add_history, history_events

NAME: Final = "score_ctr"
REGISTERED: Final = "register_ctr"
OF_THE_MOMENT: Final = ("hour", "weekday", "position", "position_number")
"""Inputs that are not known before the list is shown."""
ROWS_PER_FILE: Final = 250_000


def run(context: StageContext) -> StageResult:
    """`ctr_scores` holds one row for each row of the current release's lists; of a night without events, where there is a click
    ranker from before."""
    settings = submit.settings(context)
    if context.without_events and not (context.root / CTR_MODEL).exists():
        return StageResult(NAME)
    spark = get_session(settings.spark)
    ref = _ref(context)
    spec = _spec(context, ref)
    release = _release(context)
    lists = delta_io.read(spark, context.lake, RECOMMENDATIONS, release.recommendations_version)
    work = context.run_dir / NAME
    opened = open_model(context.lake, settings.mlflow, ref, work, CTR_MODEL)
    log.info(f"{NAME}: {ref.name} version {ref.version} over the lists of release {release.release_id[:12]}")
    try:
        rules = CtrRules(str(opened.shared), ref.manifest_sha256, spec.fields, spec.numeric)
        rows = _inputs(spark, context, settings, lists, spec)
        scored = rows.mapInArrow(ctr_scorer(rules), to_spark(OUTPUT))
        result = _commit(context, ref, release, scored)
    finally:
        discard(work)
    result.rows_in = release.rows
    if result.rows_out not in (0, release.rows):
        raise DataContractError(
            f"{result.rows_out} rows of {CLICK_SCORES.name} for {release.rows} of the lists",
            "run stage build_features, then this stage again",
        )
    scores = CtrScores(model=ref.name, version=ref.version, release_id=release.release_id, note=opened.note)
    result.output = ScoredCtr(ctr_scores=scores)
    return result


def _ref(context: StageContext) -> ModelRef:
    """The lake's click ranker; in a pipeline only once the run has registered its own: a repaired run scores with that. A night
    without events registers none."""
    path = context.root / CTR_MODEL
    alone = context.run_id.startswith(f"stage-{NAME}-") or context.without_events
    if not path.exists() or not (alone or context.stage_file(REGISTERED).exists()):
        whose = context.root if alone else f"run {context.run_id}"
        raise UsageError(f"{whose} has registered no click ranker", f"run stages train_ctr and {REGISTERED} first")
    return load_model_ref(path)


def _release(context: StageContext) -> Release:
    release = delta_read.latest_release(context.lake)
    if release is None:
        raise UsageError(f"{context.root} has released no lists yet", "run `nightrank full` first")
    return release


def _spec(context: StageContext, ref: ModelRef) -> Impressions:
    spec = load_snapshot(context.lake.snapshot(ref.snapshot_id)).impressions
    assert spec is not None  # no click ranker is trained without
    return spec


def _inputs(
    spark: SparkSession, context: StageContext, settings: DataSections, lists: DataFrame, spec: Impressions
) -> DataFrame:
    """The lists' rows with their inputs as of the end of the date, as the training rows had theirs. The lists are shown from
    the next day on, so aggregates see every day up to the date."""
    timezone, vocabulary = settings.calendar.timezone, delta_io.read(spark, context.lake, VOCABULARY)
    shown = lists.select(c.USER_ID, c.ITEM_ID, c.RANK, c.LIST_ID, c.RELEASE_ID).withColumns(
        {
            c.EVENT_TIME: F.lit(day_start(context.day + timedelta(days=1), timezone) - 1),
            c.POSITION: F.lit(None).cast("int"),
            c.CONTEXT: F.lit(None).cast("map<string,string>"),
        }
    )
    items = known_items(delta_io.read_or_empty(spark, context.lake, ITEMS), context.day, timezone)
    coded = with_attributes(dense(dense(shown, vocabulary, "user"), vocabulary, "item"), spark, context, spec.fields)
    described = inputs.described(coded, items, spec.fields, spec.numeric, timezone)
    served = [_served(name, place, settings.impressions.serving) for place, name in enumerate(spec.fields)]
    tomorrow = F.lit(day_number(context.day) + 1)
    rows = with_aggregates(described.withColumn(c.FIELDS, F.array(*served)), spark, context, spec.numeric, tomorrow)
    past = history_events(spark, context, spec.history_actions, timezone)
    return inputs.with_history_count(add_history(rows, past, spec.history_length), spec.numeric)


def _served(name: str, place: int, serving: dict[str, str]) -> Column:
    """A field's value: what `impressions.serving` says, unknown where only the moment would tell, else the row's own."""
    if name in serving:
        return F.lit(serving[name])
    if name in OF_THE_MOMENT or name.startswith(CONTEXT_PREFIX):
        return F.lit(None).cast("string")
    return F.col(c.FIELDS)[place]


def _commit(context: StageContext, ref: ModelRef, release: Release, scored: DataFrame) -> StageResult:
    constants: dict[str, Any] = {
        c.RUN_ID: context.run_id,
        c.DATE: context.day,
        c.MODEL_NAME: ref.name,
        c.MODEL_VERSION: ref.version,
        c.MANIFEST_SHA256: ref.manifest_sha256,
        c.SNAPSHOT_ID: ref.snapshot_id,
    }
    files = max(1, -(-release.rows // ROWS_PER_FILE))
    rows = scored.withColumns({name: F.lit(value) for name, value in constants.items()})
    ordered = rows.repartitionByRange(files, c.USER_ID).sortWithinPartitions(c.USER_ID, c.RANK)
    before = delta_io.version(context.lake, CLICK_SCORES)
    key = f"{NAME}@{release.recommendations_version}:{ref.manifest_sha256[:12]}"
    commit = delta_io.replace(ordered, context.lake, CLICK_SCORES, context=context, key=key)
    entries = table_entries(scored.sparkSession, context.lake, [(CLICK_SCORES, before)])
    return StageResult(NAME, rows_out=commit.rows, bytes_written=commit.bytes_written, tables=entries)


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
