"""What build_training_set leaves beside the rows: item inputs with their constants, and the published DatasetSnapshot."""

from datetime import timedelta
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, publish
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.champion import parent_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.outputs.training_set import SnapshotFacts, TrainingSet
from nightrank.feature_store.contracts.snapshot import (
    DatasetSnapshot,
    Impressions,
    Parent,
    Part,
    PartName,
    SplitRule,
    load_snapshot,
)
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import (
    EXAMPLE_SPLITS,
    EXAMPLES,
    IMPRESSION_CODES,
    IMPRESSIONS,
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    ITEM_INPUTS,
    ITEMS,
    VOCABULARY,
    TableRef,
)
from nightrank.feature_store.contracts.vocabulary_lineage import refuse_older_lineage
from nightrank.feature_store.days import day_start
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.features.section import features_section
from nightrank.spark_jobs.features.wanted import wanted
from nightrank.spark_jobs.training_set.item_columns import write_item_inputs

KNOWN.update({"build_training_set.before_snapshot", "build_training_set.after_snapshot"})


class Base(NamedTuple):
    """What a night continues from."""

    snapshot: DatasetSnapshot
    parent: Parent


def night_base(context: StageContext) -> Base:
    """The champion that this run found, and the snapshot it was trained on. UsageError where there is none, SafetyRefusal where
    it is of an earlier vocabulary."""
    ref = context.champion_found() or context.lake.expect_champion()
    refuse_older_lineage(context.lake, ref)
    return Base(load_snapshot(context.lake.snapshot(ref.snapshot_id)), parent_of(ref))


def publish_snapshot(
    spark: SparkSession,
    context: StageContext,
    settings: DataSections,
    *,
    rule: SplitRule,
    base: Base | None,
    train: DataFrame | None,
    result: StageResult,
    impressions: Impressions | None = None,
) -> DatasetSnapshot:
    """Writes item inputs, pins every part and publishes; `result` gets the section `snapshot` and one more table.

    `train` are the rows that a run without a `base` fits the constants on.
    """
    constants = write_item_inputs(spark, context, settings.features.numbers, base.snapshot if base else None, train, result)
    ids = _highest_ids(spark, context)
    revision, width = text_revision(spark, context)
    end = day_start(context.day + timedelta(days=1), settings.calendar.timezone) - 1
    seen = settings.filter_seen
    snapshot = DatasetSnapshot(
        kind="nightly" if context.kind == "nightly" else "full",
        date=context.day.isoformat(),
        clock="position" if context.lake.landing_meta()["clock"] == "position" else "real",
        parts=_parts(context, settings, {entry["name"]: entry["to"] for entry in result.tables}),
        base=base.snapshot.id if base else None,
        parent=base.parent if base else None,
        normalisation=constants,
        split=rule,
        event_time_cutoff=end,
        availability_cutoff=end,
        seed=context.seed,
        items=ids.get("item", 0),
        users=ids.get("user", 0),
        text_revision=revision,
        text_width=width,
        filter_seen_actions=tuple(ACTION_CODES[name] for name in seen.actions),
        filter_seen_days=seen.days,
        tables=_versions(context, (INTERACTIONS, VOCABULARY, ITEMS, ITEM_EMBEDDINGS)),
        impressions=impressions,
        features=features_section(spark, context, settings, base.snapshot if base else None),
    )
    failpoint(f"{result.name}.before_snapshot")
    path = publish.publish(snapshot, context)
    failpoint(f"{result.name}.after_snapshot")
    facts = SnapshotFacts(
        id=snapshot.id,
        path=path.below(context.root),
        rows={name: part.rows for name, part in snapshot.parts.items()},
        kind=snapshot.kind,
    )
    result.output = TrainingSet(snapshot=facts)
    return snapshot


def _highest_ids(spark: SparkSession, context: StageContext) -> dict[str, int]:
    rows = delta_io.read(spark, context.lake, VOCABULARY).groupBy(c.KIND).agg(F.max(c.DENSE_ID).alias("highest")).collect()
    return {row[c.KIND]: row["highest"] for row in rows}


def text_revision(spark: SparkSession, context: StageContext) -> tuple[str | None, int]:
    """(revision, width) of the text vectors; DataContractError where they are of more than one kind."""
    if not delta_io.exists(context.lake, ITEM_EMBEDDINGS):
        return None, 0
    vectors = delta_io.read(spark, context.lake, ITEM_EMBEDDINGS)
    kinds = vectors.select(c.REVISION, F.size(c.VECTOR).alias("width")).distinct().limit(2).collect()
    if len(kinds) > 1:
        raise DataContractError("item_embeddings holds vectors of more than one encoder revision", "run embed_items again")
    return (kinds[0][c.REVISION], kinds[0]["width"]) if kinds else (None, 0)


def _parts(context: StageContext, settings: DataSections, written: dict[str, int]) -> dict[PartName, Part]:
    """The splits this run wrote, and what is read of items beside them."""
    parts: dict[PartName, Part] = {}
    for split in EXAMPLE_SPLITS:
        if (name := EXAMPLES[split].name) in written:
            parts[split] = publish.pin(context.lake, name, written[name])
    of_impressions: dict[PartName, TableRef] = {
        "impressions_train": IMPRESSIONS["train"],
        "impressions_valid": IMPRESSIONS["valid"],
        "impressions_test": IMPRESSIONS["test"],
        "impression_codes": IMPRESSION_CODES,
    }
    for part, table in of_impressions.items():
        if table.name in written:
            parts[part] = publish.pin(context.lake, table.name, written[table.name])
    others: dict[PartName, TableRef] = {"items": ITEM_INPUTS, "item_embeddings": ITEM_EMBEDDINGS, "vocabulary": VOCABULARY}
    for part, table in (others | wanted(context, settings).parts).items():
        if (version := delta_io.version(context.lake, table)) is not None:
            parts[part] = publish.pin(context.lake, table.name, version)
    return parts


def _versions(context: StageContext, tables: tuple[TableRef, ...]) -> dict[str, int]:
    versions = {table.name: delta_io.version(context.lake, table) for table in tables}
    return {name: version for name, version in versions.items() if version is not None}
