"""The three sets of rows that retention is measured on, as tables of `schemas.EXAMPLES`."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.cohort import Cohort, cohort_of, cohort_rows, save_cohort
from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName, load_snapshot
from nightrank.feature_store.contracts.vocabulary_lineage import is_older
from nightrank.trainer.data.arrow_rows import ROW_COLUMNS

HOLDOUT: Final = "holdout"
COHORT: Final = "cohort"
REPLAY: Final = "replay"


def row_sets(context: StageContext, snapshot: DatasetSnapshot, cohort: Cohort | None, most: int) -> dict[str, pa.Table]:
    """Each set that there is, at most so many rows of it. Files are in order of a hash of the user: the first are a sample."""
    found = {
        HOLDOUT: _first(_tables(context.lake, snapshot, "holdout"), most),
        COHORT: None if cohort is None else cohort_rows(context.lake, cohort).slice(0, most),
        REPLAY: _replayed(context.lake, snapshot, most),
    }
    return {name: rows for name, rows in found.items() if rows is not None and rows.num_rows}


def chosen_cohort(context: StageContext, snapshot: DatasetSnapshot, most: int) -> Cohort | None:
    """The lake's cohort, chosen now where there is none of the present vocabulary: hold-out rows of the last full run, or of
    this one. None where neither has any."""
    lake, before = context.lake, cohort_of(context.lake)
    if before is not None and not is_older(lake, before.snapshot_id):
        return before
    source, run_id = _source(context, snapshot)
    rows = None if source is None else _first(_tables(lake, source, "holdout"), most)
    if source is None or rows is None or not rows.num_rows:
        return None
    with context.commit():
        made = save_cohort(lake, rows, date=source.date, run_id=run_id, snapshot_id=source.id)
    log.info(f"evaluate: the cohort of retention is chosen: {made.rows} hold-out rows of {source.date}, {made.sha256[:12]}")
    return made


def _source(context: StageContext, snapshot: DatasetSnapshot) -> tuple[DatasetSnapshot | None, str]:
    ref = context.last_full_found()
    if ref is not None and context.lake.snapshot(ref.snapshot_id).exists() and not is_older(context.lake, ref.snapshot_id):
        earlier = load_snapshot(context.lake.snapshot(ref.snapshot_id))
        if earlier.rows("holdout") and _all_there(context.lake, earlier, "holdout"):
            return earlier, ref.run_id
    return (snapshot, context.run_id) if snapshot.kind == "full" else (None, "")


def _all_there(lake: Lake, snapshot: DatasetSnapshot, part: PartName) -> bool:
    """Maintenance takes files of old snapshots away."""
    pinned = snapshot.parts[part]
    return all((lake.table(pinned.table) / file.path).exists() for file in pinned.files)


def _tables(lake: Lake, snapshot: DatasetSnapshot, part: PartName) -> Iterator[pa.Table]:
    if part not in snapshot.parts:
        return
    pinned = snapshot.parts[part]
    for file in pinned.files:
        with (lake.table(pinned.table) / file.path).open() as handle:
            yield pq.read_table(handle, columns=[*ROW_COLUMNS, c.SOURCE])


def _replayed(lake: Lake, snapshot: DatasetSnapshot, most: int) -> pa.Table | None:
    """A night's replayed rows, each asked for its last position."""
    if snapshot.kind == "full":
        return None
    replayed = (
        table.filter(pc.and_(pc.equal(table[c.SOURCE], REPLAY), pc.greater(table[c.N], 1)))
        for table in _tables(lake, snapshot, "train")
    )
    rows = _first(replayed, most)
    if rows is None:
        return None
    last = pc.cast(pc.subtract(rows[c.N], 1), rows.schema.field(c.LOSS_FROM).type)
    return rows.set_column(rows.schema.get_field_index(c.LOSS_FROM), rows.schema.field(c.LOSS_FROM), last)


def _first(tables: Iterator[pa.Table], most: int) -> pa.Table | None:
    """The first `most` rows; later files are not read. None where there is no table."""
    found: list[pa.Table] = []
    for table in tables:
        found.append(table.slice(0, most - sum(each.num_rows for each in found)))
        if sum(each.num_rows for each in found) >= most:
            break
    return pa.concat_tables(found).combine_chunks() if found else None
