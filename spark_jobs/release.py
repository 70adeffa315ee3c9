"""One appended row says which model, vocabulary, data and lists are current."""

from datetime import UTC, datetime
from typing import Final

from pyspark.sql import SparkSession

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts.errors import ConflictError, DataContractError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.outputs.released import Released, ReleaseFacts
from nightrank.feature_store.contracts.outputs.scored import Scored
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import POPULAR_ITEMS, RECOMMENDATIONS, RELEASES, SIMILAR_ITEMS
from nightrank.feature_store.current import refuse_older
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.score_users import release_id
from nightrank.spark_jobs.scoring.sample_users import sample_users

NAME: Final = "release"
SAMPLE: Final = "sample_users.json"


def run(context: StageContext) -> StageResult:
    """The lists of this run are current, by exactly one row of `releases`, however often this runs."""
    settings = submit.settings(context)
    refuse_older(context)
    spark = get_session(settings.spark)
    release = _release(context)
    result = StageResult(NAME, rows_in=release.rows)
    before = delta_io.version(context.lake, RELEASES)
    latest = delta_read.latest_release(context.lake)
    if latest is None or latest.release_id != release.release_id:  # also where a rollback has set it back
        _append(spark, context, release)
        result.rows_out = 1
    result.tables += table_entries(spark, context.lake, [(RELEASES, before)])
    sample = sample_users(spark, context, settings, release.recommendations_version)
    with context.commit():
        write_json(context.run_dir / SAMPLE, sample)
    lists = context.output(Scored).lists
    facts = ReleaseFacts(
        id=release.release_id,
        recommendations_version=release.recommendations_version,
        users=release.users,
        rows=release.rows,
        fallback=release.fallback,
        catalogue=lists.catalogue,
        rules=lists.rules,
        model=lists.model,
    )
    result.output = Released(release=facts)
    return result


def _release(context: StageContext) -> Release:
    """What score_users of this run left, if it is what is in `recommendations` now."""
    scored = context.result_of("score_users")
    made = {entry["name"]: entry["to"] for entry in scored.tables}
    for table in (RECOMMENDATIONS, SIMILAR_ITEMS, POPULAR_ITEMS):
        current = delta_io.version(context.lake, table) if table.name in made else None
        if current != made.get(table.name):
            raise ConflictError(
                f"{table.name} is at version {current}, but run {context.run_id} wrote version {made[table.name]}",
                "nothing was released; run score_users of this run again, unless a newer run has taken its place",
            )
    lists = context.output(Scored).lists
    named = lists.model_dump(include=set(Release.model_fields))
    return Release(
        **named,
        release_id=release_id(context),
        run_id=context.run_id,
        date=context.day.isoformat(),
        recommendations_version=made[RECOMMENDATIONS.name],
        similar_items_version=made.get(SIMILAR_ITEMS.name),
        popular_items_version=made.get(POPULAR_ITEMS.name),
        list_rules_version=(lists.rules or {}).get("version"),
        fence=_fence(context),
        lists_sha256=next(entry["content_sha256"] for entry in scored.tables if entry["name"] == RECOMMENDATIONS.name),
    )


def _fence(context: StageContext) -> int:
    """The run's own. ConflictError where a run with a higher fence has released already."""
    highest = max((made.fence for made in delta_read.releases(context.lake)), default=0)
    if 0 < context.fence < highest:
        raise ConflictError(
            f"run {context.run_id} (fence {context.fence}) was superseded: fence {highest} has released already",
            "nothing was released; start the run again",
        )
    return context.fence or highest


def _append(spark: SparkSession, context: StageContext, release: Release) -> None:
    """Readers take the newest row of the highest fence; a superseded run gets none in."""
    row = {
        **release.model_dump(include=set(RELEASES.schema.names)),
        "date": context.day,
        "body": release.model_dump_json(),
        "created_at": datetime.now(UTC),
    }
    rows = spark.createDataFrame([tuple(row[name] for name in RELEASES.schema.names)], to_spark(RELEASES.schema))
    commit = delta_io.append(rows, context.lake, RELEASES, context=context, key=f"{NAME}:{release.recommendations_version}")
    if commit.rows == 0 and delta_read.latest_release(context.lake) is None:
        raise DataContractError("the release was not written", "run the stage again")


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
