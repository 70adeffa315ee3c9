"""Impressions into training rows for click rankers: the part of build_training_set that `impressions.enabled` switches on."""

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import named_by_rows
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.impression_settings import ATTRIBUTE_PREFIX, CONTEXT_PREFIX, ImpressionSettings
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import Impressions
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import (
    EVENTS,
    IMPRESSION_CODES,
    IMPRESSIONS,
    INTERACTIONS,
    ITEM_DAYS,
    ITEMS,
    USER_ATTRIBUTES,
    USER_DAYS,
    VOCABULARY,
)
from nightrank.feature_store.entries import record
from nightrank.feature_store.transforms import impression_inputs as inputs
from nightrank.feature_store.transforms.calendar import day_number_of
from nightrank.feature_store.transforms.catalogue import known_items
from nightrank.feature_store.transforms.impressions import Cuts, split_of
from nightrank.feature_store.transforms.vocabulary import dense
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.features.row_features import with_aggregates, with_attributes
from nightrank.spark_jobs.training_set.labelled_rows import cuts_of, has_clock, labelled_rows
from nightrank.spark_jobs.training_set.past_events import add_history, history_events
from nightrank.spark_jobs.training_set.split_tables import write_splits


def write_impressions(
    spark: SparkSession, context: StageContext, settings: DataSections, result: StageResult
) -> Impressions | None:
    """`impressions_<split>` and `impression_codes` hold the rows of the last `impressions.days`; None where there is nothing to
    train on."""
    wanted = settings.impressions
    held = [labelled_rows(spark, context, settings).persist(StorageLevel.DISK_ONLY)]
    try:
        cuts = cuts_of(context, settings, held[0])
        if cuts is not None:
            shown = held[0].withColumn(c.SPLIT, split_of(cuts)).where(F.col(c.SPLIT).isNotNull())
            held.append(_described(spark, context, settings, shown).persist(StorageLevel.DISK_ONLY))
            if not held[1].where(F.col(c.SPLIT) == "train").isEmpty():
                return _write(spark, context, settings, held[1], cuts, result)
    finally:
        for rows in held:
            rows.unpersist()
    what = f"no {' or '.join(wanted.shown)} to train on in {wanted.days} days"
    log.info(f"{result.name}: {what}, so there are no rows for click rankers")
    return None


def _described(spark: SparkSession, context: StageContext, settings: DataSections, rows: DataFrame) -> DataFrame:
    """Rows with their inputs as texts and numbers, and the dense ids of user and item."""
    wanted, vocabulary = settings.impressions, delta_io.read(spark, context.lake, VOCABULARY)
    stored = delta_io.read_or_empty(spark, context.lake, ITEMS)
    items = known_items(stored, context.day, settings.calendar.timezone)
    timezone = settings.calendar.timezone if has_clock(context) else None
    coded = with_attributes(dense(dense(rows, vocabulary, "user"), vocabulary, "item"), spark, context, wanted.fields)
    known = inputs.described(coded, items, wanted.fields, wanted.numeric, timezone)
    day = day_number_of(F.timestamp_micros(c.EVENT_TIME), settings.calendar.timezone)
    return with_aggregates(known, spark, context, wanted.numeric, day).drop(c.USER_ID, c.ITEM_ID, c.EVENT_DATE)


def _write(
    spark: SparkSession, context: StageContext, settings: DataSections, rows: DataFrame, cuts: Cuts, result: StageResult
) -> Impressions:
    wanted = settings.impressions
    train = rows.where(F.col(c.SPLIT) == "train")
    fields, sizes = _write_codes(spark, context, wanted, train, result)
    codes = delta_io.read(spark, context.lake, IMPRESSION_CODES).persist()
    # An input that no training row knows is dropped; the names say which places of the lists stay.
    places = [wanted.fields.index(name) for name in fields]
    kept = rows.withColumn(c.FIELDS, F.array(*[F.col(c.FIELDS)[place] for place in places]))
    past = _past(spark, context, settings, codes)
    built = _built(inputs.coded(kept, codes, fields), past, wanted).persist(StorageLevel.DISK_ONLY)
    try:
        numeric, mean, scale = _constants(wanted, built)
        numbers = [F.col(c.NUMERIC)[wanted.numeric.index(name)] for name in numeric]
        final = built.withColumn(c.NUMERIC, F.array(*numbers).cast("array<float>"))
        _write_splits(final, context, settings, result)
    finally:
        built.unpersist()
        codes.unpersist()
    return Impressions(
        fields=fields, sizes=sizes, numeric=numeric, mean=mean, scale=scale, labels=wanted.labels,
        history="item" if wanted.history else None, history_length=wanted.history, history_actions=wanted.history_actions,
        valid_from=cuts.valid_from, test_from=cuts.test_from,
        timezone=settings.calendar.timezone if named_by_rows(numeric) else None,
    )  # fmt: skip


def _write_codes(
    spark: SparkSession, context: StageContext, wanted: ImpressionSettings, train: DataFrame, result: StageResult
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The table of codes, fitted on training rows; the fields that have any, and how many. DataContractError for a context
    key that no training row has."""
    table = inputs.code_table(train, wanted.fields, wanted.least_rows, wanted.most_values)
    ordered = table.repartitionByRange(1, c.FIELD, c.DENSE_ID).sortWithinPartitions(c.FIELD, c.DENSE_ID)
    commit = delta_io.replace(
        ordered, context.lake, IMPRESSION_CODES, context=context, key=f"{result.name}:codes@{_versions(context)}"
    )
    record(result, spark, context.lake, commit)
    counted = delta_io.read(spark, context.lake, IMPRESSION_CODES).groupBy(c.FIELD).count().collect()
    counts: dict[str, int] = {row[c.FIELD]: row["count"] for row in counted}
    for name in wanted.fields:
        if name not in counts:
            _left_out(name, result)
    return tuple(name for name in wanted.fields if name in counts), tuple(counts[n] + 1 for n in wanted.fields if n in counts)


def _left_out(name: str, result: StageResult) -> None:
    """An input that no training row knows. DataContractError where it was asked for by the name of a key."""
    for prefix, where in (
        (CONTEXT_PREFIX, "the events' context (columns.context of the import)"),
        (ATTRIBUTE_PREFIX, "the users"),
    ):
        if name.startswith(prefix):
            key = name.removeprefix(prefix)
            raise DataContractError(
                f"impressions without the input {name}: no training row's {prefix[:-1]} has a usable {key}",
                f"name a key of {where}, or remove the input",
            )
    log.info(f"{result.name}: no training impression has a value for {name}; the click ranker does not read it")
    result.counts.setdefault("inputs_left_out", []).append(name)


def _past(spark: SparkSession, context: StageContext, settings: DataSections, codes: DataFrame) -> DataFrame:
    """`user`, times and `values`: the code of each item a user chose, 0 where it has none."""
    events = history_events(spark, context, settings.impressions.history_actions, settings.calendar.timezone)
    coded = codes.where(F.col(c.FIELD) == "item").select(
        F.col(c.RAW_ID).alias(inputs.RAW), F.col(c.DENSE_ID).alias(inputs.VALUES)
    )
    return events.withColumnRenamed(inputs.VALUES, inputs.RAW).join(coded, inputs.RAW, "left").fillna(0, [inputs.VALUES])


def _built(rows: DataFrame, past: DataFrame, wanted: ImpressionSettings) -> DataFrame:
    """POINTWISE rows of all splits, with every number that was asked for."""
    whole = inputs.with_history_count(add_history(rows, past, wanted.history), wanted.numeric)
    # Left out only here, as in scoring: what is not known still counts among the newest.
    coded = F.filter(c.HISTORY, lambda code: code > 0)
    return whole.withColumns({c.HISTORY: coded, c.SOURCE: F.lit("history"), c.WEIGHT: F.lit(1.0)})


def _constants(wanted: ImpressionSettings, built: DataFrame) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    """(names, means, scales) of the numbers that some training row knows."""
    row = inputs.moments(built.where(F.col(c.SPLIT) == "train"), wanted.numeric).first()
    assert row is not None  # an aggregate without groups has one row
    found = [
        (name, *moment) for name, *moment in zip(wanted.numeric, row["mean"], row["std"], strict=True) if moment[0] is not None
    ]
    names, means, scales = ([each[place] for each in found] for place in range(3))
    # The last digits follow from the order of the sum, and the snapshot's id from all of them.
    return tuple(names), tuple(float(f"{mean:.9g}") for mean in means), tuple(float(f"{scale:.9g}") or 1.0 for scale in scales)


def _write_splits(built: DataFrame, context: StageContext, settings: DataSections, result: StageResult) -> None:
    def in_files(rows: DataFrame, files: int) -> DataFrame:
        order = F.xxhash64(F.lit(context.seed), c.USER, c.ITEM, c.EVENT_TIME)
        return rows.repartition(files, order).sortWithinPartitions(order, c.EVENT_ID)

    result.counts["impressions"] = write_splits(
        built,
        IMPRESSIONS,
        context,
        result,
        rows_per_file=settings.training_set.rows_per_file,
        in_files=in_files,
        key=f"{result.name}:impressions@{_versions(context)}",
    )


def _versions(context: StageContext) -> list[int | None]:
    read = (EVENTS, INTERACTIONS, ITEMS, VOCABULARY, USER_DAYS, ITEM_DAYS, USER_ATTRIBUTES)
    return [delta_io.version(context.lake, table) for table in read]
