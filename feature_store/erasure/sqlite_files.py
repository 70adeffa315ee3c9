"""MLflow's SQLite file: cells of text with a user's id, and what SQLite keeps of deleted ones in free pages."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.erasure.words import replaced


def cells_with(place: Location, pattern: re.Pattern[bytes]) -> list[str]:
    """`table.column` of each cell that holds the id."""
    with closing(sqlite3.connect(f"{place.path.as_uri()}?mode=ro", uri=True)) as database:
        return [f"{table}.{column}" for table, column, _, _ in _found(database, pattern)]


def rewrite(place: Location, pattern: re.Pattern[bytes], marker: str) -> None:
    """No cell and no free page holds the id afterwards."""
    with closing(sqlite3.connect(place.path, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete = ON")
        for table, column, row, text in list(_found(database, pattern)):
            named = _named(column)
            fixed = replaced(named + text.encode(), pattern, marker)[0].removeprefix(named).decode()
            database.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (fixed, row))
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _found(database: sqlite3.Connection, pattern: re.Pattern[bytes]) -> Iterator[tuple[str, str, int, str]]:
    for table in _names(database, "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID%'"):
        for column in _columns(database, table):
            rows = database.execute(f'SELECT rowid, "{column}" FROM "{table}" WHERE typeof("{column}") = \'text\'')
            yield from ((table, column, row, text) for row, text in rows if pattern.search(_named(column) + text.encode()))


def _named(column: str) -> bytes:
    """What stands before a cell when it is searched: a cell in a column of users is named by its column."""
    return f"{column}=".encode() if column in ("user_id", "user") else b""


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]


def _names(database: sqlite3.Connection, query: str) -> list[str]:
    return [row[0] for row in database.execute(query)]
