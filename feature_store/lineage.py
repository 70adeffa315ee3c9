"""What a DataFrame reads, as far as a plan tells it: Delta versions and files. No job runs for it."""

from typing import Any

from pyspark.sql import DataFrame


def sources(df: DataFrame) -> list[str]:
    """Sorted names of what `df` is made from: `Delta[version=3, file:/…]` for a table, the paths given for plain Parquet.

    Rows that Python made (`createDataFrame`) have no name and are left out. `DataFrame.inputFiles` would name every file of a
    Delta table, for 1.5 s of planning and listing each time.
    """
    leaves = df._jdf.queryExecution().analyzed().collectLeaves()
    found: set[str] = set()
    for index in range(leaves.size()):
        leaf = leaves.apply(index)
        if _kind(leaf) == "LogicalRelation" and _reads_files(leaf.relation()):
            found.update(_named(leaf.relation().location()))
    return sorted(found)


def _reads_files(relation: Any) -> bool:
    """Delta's relation is an anonymous child of Spark's."""
    kinds = (relation.getClass(), relation.getClass().getSuperclass())
    return any(str(kind.getSimpleName()) == "HadoopFsRelation" for kind in kinds)


def _named(location: Any) -> list[str]:
    # One call for the whole list: thousands of landing files would be thousands of calls.
    return (
        [location.toString()] if _kind(location).startswith("Tahoe") else str(location.rootPaths().mkString("\n")).split("\n")
    )


def _kind(thing: Any) -> str:
    return str(thing.getClass().getSimpleName())
