"""Landed rows of erased users: they are known by the marker of their id and go nowhere, not even to quarantine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import BooleanType

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.erasures import marker_of, markers
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import IdSettings
from nightrank.spark_jobs.ingest.user_key import erasure_key

ERASED: Final = "erased"
"""The reason that such rows have until they are counted."""


@dataclass(frozen=True)
class Erased:
    """The lake's markers and the key that they were made with."""

    markers: frozenset[str]
    key: bytes


def erased_users(settings: IdSettings, lake: Lake) -> Erased | None:
    """None where nobody was erased. ConfigError without the key: erased users would come back with a later export."""
    found = markers(lake)
    return Erased(found, erasure_key(settings, lake)) if found else None


def with_erased(rows: DataFrame, erased: Erased) -> DataFrame:
    """The judged rows, with the reason ERASED where the user was erased. The key travels inside the function."""
    known, key = erased.markers, erased.key

    def found(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for ids in batches:
            each = {raw: marker_of(key, raw) in known for raw in ids.dropna().unique()}
            yield ids.map(lambda raw, each=each: each.get(raw, False)).astype(bool)

    is_erased = pandas_udf(found, BooleanType())  # type: ignore[call-overload]
    return rows.withColumn(c.REASON, F.when(is_erased(F.col(c.USER_ID)), F.lit(ERASED)).otherwise(F.col(c.REASON)))
