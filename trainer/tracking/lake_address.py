"""How a tracker knows a lake, and what follows a lake that was moved or copied: SQLite keeps whole addresses of its files."""

import hashlib
import sqlite3
from contextlib import closing
from typing import Final

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location

LAKE: Final = "nightrank.lake"
"""The tag of a run and of a model version that says whose they are."""
ARTIFACTS: Final = "/mlflow/artifacts"
ADDRESSES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
"""Table and column of every address that MLflow keeps of a file of its own."""
TAGS: Final = ("tags", "model_version_tags")


def lake_key(lake: Lake) -> str:
    """Tells lakes apart on one server without naming their paths."""
    return _key(lake.root.uri)


def follow(database: Location, experiment: str, lake: Lake) -> bool:
    """Afterwards the lake's own SQLite file has the lake's address in place of an earlier one, in files and tags: all of it, or
    nothing. True if that was another address.
    """
    now = f"{lake.root.uri}{ARTIFACTS}"
    with closing(sqlite3.connect(database.path)) as connection, connection:
        row = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchone()
        if row is None or row[0] == now or not str(row[0]).endswith(ARTIFACTS):
            return False
        before = str(row[0])
        for table, column in ADDRESSES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )
        keys = (lake_key(lake), LAKE, _key(before.removesuffix(ARTIFACTS)))
        for table in TAGS:
            connection.execute(f"UPDATE {table} SET value = ? WHERE key = ? AND value = ?", keys)
    return True


def _key(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:16]
