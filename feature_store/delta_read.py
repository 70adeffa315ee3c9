"""Reading the lake without a JVM: versions, files, the current release and one user's list."""

from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import MADE_BY, RECOMMENDATIONS, RELEASES, VOCABULARY, TableRef
from nightrank.feature_store.object_storage import arrow
from nightrank.feature_store.object_storage.addresses import storage_options
from nightrank.feature_store.object_storage.faults import of_delta_rs


def open_table(lake: Lake, name: str, version: int | None = None) -> DeltaTable:
    """The table at `version`, or the newest. DataContractError where there is no such table or version any more."""
    place = lake.table(name)
    try:
        with of_delta_rs(place):
            return DeltaTable(str(place), version=version, storage_options=storage_options(place))
    except TableNotFoundError:
        maker = f"stage {MADE_BY[name]}" if name in MADE_BY else "the stage that makes it"
        raise DataContractError(
            f"table {name} does not exist in {lake.root}", f"run {maker}, or `nightrank full`, first"
        ) from None
    except DeltaError as error:
        raise DataContractError(
            f"table {name} cannot be read at version {version}: {error}", "that version is gone; run the stage again"
        ) from None


def newest(lake: Lake, name: str) -> DeltaTable | None:
    """The table at its newest version; None where it does not exist."""
    place = lake.table(name)
    with of_delta_rs(place):
        there = DeltaTable.is_deltatable(str(place), storage_options=storage_options(place))
    return open_table(lake, name) if there else None


def table_version(lake: Lake, name: str) -> int | None:
    """The newest version; None where the table does not exist."""
    table = newest(lake, name)
    return None if table is None else table.version()


def files_of(lake: Lake, name: str, version: int) -> list[str]:
    """Paths of the version's files, relative to the table's folder, sorted."""
    return file_paths(open_table(lake, name, version))


def file_paths(table: DeltaTable) -> list[str]:
    return sorted(add["path"] for add in _adds(table))


def file_sizes(table: DeltaTable) -> dict[str, int]:
    """Bytes of each file, by its path relative to the table's folder."""
    return {add["path"]: int(add["size_bytes"]) for add in sorted(_adds(table), key=lambda add: str(add["path"]))}


def column_types(lake: Lake, name: str, version: int | None = None) -> dict[str, str]:
    """Delta's type of each column, at `version` or the newest."""
    return {field.name: str(field.type) for field in open_table(lake, name, version).schema().fields}


def has_deletion_vectors(table: DeltaTable) -> bool:
    return bool(pa.table(table.deletion_vectors()).num_rows)


def is_bare(table: DeltaTable) -> bool:
    """True where the version's files hold its rows and nothing else: no partition, renamed column or deleted row."""
    metadata = table.metadata()
    renamed = metadata.configuration.get("delta.columnMapping.mode", "none") != "none"
    return not (metadata.partition_columns or renamed or has_deletion_vectors(table))


def rows_of(lake: Lake, name: str, version: int) -> int:
    """How many rows the version holds, from the log's statistics or else the files' footers."""
    counts = [
        add["num_records"] if add.get("num_records") is not None else arrow.footer(lake.table(name) / add["path"]).num_rows
        for add in _adds(open_table(lake, name, version))
    ]
    return sum(counts)


def latest_release(lake: Lake) -> Release | None:
    """What is current: of the releases, the newest under the highest fence; None before the first.

    So a run that was superseded and still appended its row late changes nothing for readers.
    """
    rows = releases(lake)
    return rows[-1] if rows else None


def releases(lake: Lake) -> list[Release]:
    """Every release, oldest first: by fence, then by when it was made."""
    table = newest(lake, RELEASES.name)
    if table is None:
        return []
    stored = dataset(lake, RELEASES.name, file_paths(table), RELEASES.schema)
    found = stored.to_table(columns=[c.FENCE, c.CREATED_AT, c.BODY]).to_pylist()
    rows = sorted(found, key=lambda row: (row[c.FENCE], row[c.CREATED_AT]))
    return [Release.model_validate_json(row[c.BODY]) for row in rows]


def recommendations_for(lake: Lake, user_id: str, release: Release | None = None) -> tuple[Release, list[dict[str, Any]]]:
    """The release, by default the current one, and the user's list in it, best first; an empty list where the user is not
    known to it.

    Opens only the files whose statistics admit the user. DataContractError before the first release, or where the
    user's rows are not all of that release.
    """
    release = release or latest_release(lake)
    if release is None:
        raise DataContractError(f"nothing is released in {lake.root} yet", "run `nightrank full` first")
    return release, lists_for(lake, [user_id], release)[user_id]


def lists_for(lake: Lake, user_ids: Collection[str], release: Release) -> dict[str, list[dict[str, Any]]]:
    """As `recommendations_for`, of several users: the table is opened once."""
    table = open_table(lake, RECOMMENDATIONS.name, release.recommendations_version)
    paths = [add["path"] for add in _adds(table) if any(_may_hold(add, user_id) for user_id in user_ids)]
    stored = dataset(lake, RECOMMENDATIONS.name, paths, RECOMMENDATIONS.schema)
    found = stored.to_table(filter=ds.field(c.USER_ID).isin(list(user_ids)))
    rows: list[dict[str, Any]] = sorted(found.to_pylist(), key=lambda row: int(row[c.RANK]))
    other_releases = {row[c.RELEASE_ID] for row in rows} - {release.release_id}
    if other_releases:
        raise DataContractError(
            f"the list belongs to release {', '.join(sorted(other_releases))}, not to {release.release_id}",
            "run `nightrank verify`",
        )
    lists: dict[str, list[dict[str, Any]]] = {user_id: [] for user_id in user_ids}
    for row in rows:
        lists[row[c.USER_ID]].append(row)
    return lists


def _adds(table: DeltaTable) -> list[dict[str, Any]]:
    """The version's files with what the log says of each."""
    rows: list[dict[str, Any]] = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return [{**row, "path": unquote(row["path"])} for row in rows]


def _may_hold(add: dict[str, Any], user_id: str) -> bool:
    """By the file's smallest and largest user id. Delta keeps a prefix of long ones, so the upper bound compares prefixes."""
    smallest, largest = add.get(f"min.{c.USER_ID}"), add.get(f"max.{c.USER_ID}")
    if smallest is None or largest is None:
        return True
    return bool(smallest <= user_id and user_id[: len(largest)] <= largest)


def dataset(lake: Lake, name: str, paths: list[str], schema: pa.Schema) -> ds.Dataset:
    """Rows of files of the table, whichever of its versions names them."""
    folder = lake.table(name)
    return arrow.dataset([folder / path for path in paths], schema)


def stored(lake: Lake, table: TableRef, version: int) -> ds.Dataset:
    """The rows of that version."""
    return dataset(lake, table.name, files_of(lake, table.name, version), table.schema)


def raw_ids(lake: Lake, version: int, kind: str, column: str, values: Collection[Any]) -> dict[int, str]:
    """Raw id by dense id, of that version's rows of the vocabulary with those values in `column`."""
    typed = pa.array(list(values), VOCABULARY.schema.field(column).type)
    rows = (ds.field(c.KIND) == kind) & ds.field(column).isin(typed)
    found = stored(lake, VOCABULARY, version).to_table(columns=[c.RAW_ID, c.DENSE_ID], filter=rows).to_pylist()
    return {row[c.DENSE_ID]: row[c.RAW_ID] for row in found}
