"""What re-ranking knows of items, as executors read it: category, age in the catalogue, how often it was chosen lately."""

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import ITEMS, VOCABULARY
from nightrank.feature_store.transforms.vocabulary import dense
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.rerank import AGE, RerankRules


def rerank_rules(
    spark: SparkSession, context: StageContext, settings: DataSections, versions: tuple[int, int], work: Location
) -> RerankRules | None:
    """The rules with their items at `work/item_side`; None where no rule of any arm has a weight and nothing but the model
    proposes. `versions` are those of the tables of items and of the vocabulary; `work/popular` is there."""
    rerank, candidates, experiment = settings.scoring.rerank, settings.scoring.candidates, settings.experiments
    in_arms = experiment.enabled and any(arm.rerank and arm.rerank.is_on for arm in experiment.arms.values())
    if not (rerank.is_on or candidates.is_on or in_arms):
        return None
    of_items, of_vocabulary = versions
    ids = delta_io.read(spark, context.lake, VOCABULARY, of_vocabulary)
    items = delta_io.read_or_empty(spark, context.lake, ITEMS, of_items)
    counts = spark.read.parquet((work / "popular").hadoop).where(F.col(c.SEGMENT) == "").select(c.ITEM, c.COUNT)
    rows = dense(_described(items, context), ids, "item").join(counts, c.ITEM, "left")
    kinds = {c.ITEM: "int", c.CATEGORY: "bigint", AGE: "double", c.COUNT: "bigint"}
    rows = rows.select(*[F.col(name).cast(kind).alias(name) for name, kind in kinds.items()])
    rows.na.fill(0, [c.COUNT]).coalesce(1).write.parquet((work / "item_side").hadoop)
    return RerankRules(rerank, str(work / "item_side"), candidates)


def _described(items: DataFrame, context: StageContext) -> DataFrame:
    """`item_id`, `category`: a number from 1 for each first category, in the order of the names, 0 for none; `age_days` since
    the item landed first."""
    first = F.try_element_at(c.CATEGORIES, F.lit(1))
    names = items.select(first.alias("name")).where(F.col("name").isNotNull()).distinct()
    numbered = names.withColumn(c.CATEGORY, F.row_number().over(Window.orderBy("name")))
    since = F.coalesce(c.FIRST_LANDED, c.LANDING_DATE)
    rows = items.select(c.ITEM_ID, first.alias("name"), F.datediff(F.lit(context.day), since).alias(AGE))
    return rows.join(F.broadcast(numbered), "name", "left").na.fill(0, [c.CATEGORY]).drop("name")
