"""What each data file of a table adds to the table's content hash, kept beside the tables: a file is read for it once.

Delta never writes a file again under the same name, and an erasure that does leaves it smaller. So the hash of a table that
grew by a day costs the day's files, whatever its history. The sums stand in `content/<table>.json`, with the size of each file;
where that is another, or they are lost or of another release, they are made again.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store.content_hash import Sums, row_sums
from nightrank.feature_store.contracts.files import read_json, sha256_of, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import TableRef
from nightrank.feature_store.spark_schema import to_spark

Files = dict[str, Sums]
"""Sums by the path of the file in the table's folder."""
_TABLE: Final = "_table"
_NAME: Final = "_name"


def sums_of_files(spark: SparkSession, lake: Lake, wanted: Sequence[tuple[TableRef, Mapping[str, int]]]) -> list[Sums]:
    """The sums of each (table, bytes of files by their paths in its folder), in one query over the files that are not known."""
    known = [_kept(lake, table, sizes) for table, sizes in wanted]
    unknown = [[path for path in sizes if path not in kept] for kept, (_, sizes) in zip(known, wanted, strict=True)]
    found = _read(spark, lake, [(table, paths) for (table, _), paths in zip(wanted, unknown, strict=True)])
    totals = []
    for (table, sizes), kept, added in zip(wanted, known, found, strict=True):
        now = {**kept, **added}
        if added:
            files = {path: [sizes[path], *sums] for path, sums in now.items()}
            write_json(_place(lake, table), {"form": _form(table), "files": files})
        totals.append(Sums(*(sum(each[place] for each in now.values()) for place in range(3))))
    return totals


def _read(spark: SparkSession, lake: Lake, unknown: Sequence[tuple[TableRef, Sequence[str]]]) -> list[Files]:
    """The sums of every file, also of one without a row."""
    found: list[Files] = [dict.fromkeys(paths, Sums(0, 0, 0)) for _, paths in unknown]
    parts = [
        row_sums(_rows(spark, lake, table, paths), table, by=F.col(_NAME)).withColumn(_TABLE, F.lit(place))
        for place, (table, paths) in enumerate(unknown)
        if paths
    ]
    for row in reduce(DataFrame.unionByName, parts).collect() if parts else ():
        found[row[_TABLE]][_path_of(unknown[row[_TABLE]][1], row[_NAME])] = Sums.of(row)
    return found


def _rows(spark: SparkSession, lake: Lake, table: TableRef, paths: Sequence[str]) -> DataFrame:
    places = [(lake.table(table.name) / path).hadoop for path in paths]
    rows = spark.read.schema(to_spark(table.schema)).parquet(*places)
    return rows.withColumn(_NAME, F.col("_metadata.file_name"))


def _path_of(paths: Sequence[str], name: str) -> str:
    return next(path for path in paths if path.rpartition("/")[2] == name)


def _kept(lake: Lake, table: TableRef, sizes: Mapping[str, int]) -> Files:
    """Of the files that are there now, as they were when they were read."""
    place = _place(lake, table)
    body: Any = read_json(place) if place.exists() else {}
    if body.get("form") != _form(table):
        return {}
    return {path: Sums(*sums) for path, (size, *sums) in body["files"].items() if sizes.get(path) == size}


def _form(table: TableRef) -> str:
    """Changes with the columns that are hashed."""
    return sha256_of([[name, str(table.schema.field(name).type)] for name in table.content_columns])


def _place(lake: Lake, table: TableRef) -> Location:
    return lake.root / "content" / f"{table.name}.json"
