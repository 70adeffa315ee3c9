"""embed_items: every item with text gets its vector; text that was encoded once is never encoded again."""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.text_model import TextModel, text_model
from nightrank.feature_store.transforms.catalogue import known_items
from nightrank.feature_store.transforms.vocabulary import dense
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.encode import TEXT, EncodeOptions, encode_batches

NAME: Final = "embed_items"
ARROW_ROWS: Final = "spark.sql.execution.arrow.maxRecordsPerBatch"
TEXTS_AT_ONCE: Final = 2_048
"""Rows a worker holds at a time; batches are packed inside, by tokens."""


def run(context: StageContext) -> StageResult:
    """item_embeddings holds one vector an item with text, of one encoder revision; `text_cache` holds every text seen."""
    settings = submit.settings(context)
    model = text_model(settings.text)
    spark = get_session(settings.spark)
    texts = _texts(spark, context, settings)
    if model is None:
        commit = delta_io.replace(_nothing(spark), context.lake, tables.ITEM_EMBEDDINGS, context=context, key=f"{NAME}:none")
        return _result(spark, context, [commit], {"texts_encoded": 0, "texts_cached": 0, "texts_cut": 0})
    encoded = _encode_missing(spark, context, settings.text, model, texts)
    rows = _cache(spark, context, model).join(texts, c.CONTENT_SHA256)
    embeddings = rows.repartitionByRange(F.col(c.ITEM)).sortWithinPartitions(c.ITEM)
    placed = delta_io.replace(embeddings, context.lake, tables.ITEM_EMBEDDINGS, context=context, key=f"{NAME}:{model.revision}")
    row = rows.agg(F.count_distinct(c.CONTENT_SHA256).alias("texts"), F.count_if(F.col(c.TOKENS_CUT) > 0).alias("cut")).first()
    assert row is not None  # an aggregate without groups has one row
    counts = {"texts_encoded": encoded.rows, "texts_cached": row["texts"] - encoded.rows, "texts_cut": row["cut"]}
    return _result(spark, context, [encoded, placed], counts)


def item_text() -> Column:
    """Title, text and categories as one string; null where an item has none of them."""
    text = F.concat_ws(" ", F.trim(c.TITLE), F.trim(c.TEXT), F.array_join(c.CATEGORIES, " "))
    return F.nullif(F.trim(F.regexp_replace(text, r"\s+", " ")), F.lit(""))


def _texts(spark: SparkSession, context: StageContext, settings: DataSections) -> DataFrame:
    """`item, text, content_sha256` of the items in the vocabulary whose text was known by the end of the date."""
    known = known_items(delta_io.read(spark, context.lake, tables.ITEMS), context.day, settings.calendar.timezone)
    items = dense(known, delta_io.read(spark, context.lake, tables.VOCABULARY), "item")
    texts = items.select(c.ITEM, item_text().alias(TEXT)).where(F.col(TEXT).isNotNull())
    return texts.withColumn(c.CONTENT_SHA256, F.sha2(F.col(TEXT), 256))


def _cache(spark: SparkSession, context: StageContext, model: TextModel) -> DataFrame:
    return delta_io.read_or_empty(spark, context.lake, tables.TEXT_CACHE).where(F.col(c.REVISION) == model.revision)


def _encode_missing(
    spark: SparkSession, context: StageContext, settings: TextSettings, model: TextModel, texts: DataFrame
) -> Commit:
    """Encodes what this revision has not seen. Hashed into one partition a core, then sorted by length: the same texts
    always meet in the same batches, so the same vectors come out bit by bit."""
    missing = texts.select(c.CONTENT_SHA256, TEXT).dropDuplicates([c.CONTENT_SHA256])
    missing = missing.join(_cache(spark, context, model), c.CONTENT_SHA256, "left_anti")
    stored = delta_io.version(context.lake, tables.TEXT_CACHE)
    if stored is not None and missing.isEmpty():
        return Commit(tables.TEXT_CACHE.name, stored, stored, 0, 0)
    workers = spark.sparkContext.defaultParallelism
    even = missing.repartition(workers, c.CONTENT_SHA256).sortWithinPartitions(F.length(TEXT), c.CONTENT_SHA256)
    # One worker a core: each takes one thread, so that together they do not ask for more than the machine has.
    options = EncodeOptions(str(model.folder), model.revision, settings.max_tokens, settings.batch_tokens, threads=1)

    def worker(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return encode_batches(batches, options)

    vectors = even.mapInArrow(worker, to_spark(tables.TEXT_CACHE.schema))
    rows_before = spark.conf.get(ARROW_ROWS)
    spark.conf.set(ARROW_ROWS, str(TEXTS_AT_ONCE))
    try:
        return delta_io.append(vectors, context.lake, tables.TEXT_CACHE, context=context, key=f"{NAME}:{model.revision}")
    finally:
        spark.conf.set(ARROW_ROWS, str(rows_before))


def _nothing(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], to_spark(tables.ITEM_EMBEDDINGS.schema))


def _result(spark: SparkSession, context: StageContext, commits: list[Commit], counts: dict[str, int]) -> StageResult:
    entries = table_entries(spark, context.lake, [(tables.CATALOGUE[x.name], x.from_version) for x in commits])
    return StageResult(
        NAME,
        rows_in=counts["texts_encoded"] + counts["texts_cached"],
        rows_out=commits[-1].rows,
        bytes_written=sum(commit.bytes_written for commit in commits),
        tables=entries,
        counts=counts,
    )


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
