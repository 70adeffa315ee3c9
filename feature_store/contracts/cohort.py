"""The old cohort: evaluation rows of one full run, chosen once and measured every night. Pinned by the hash of its file."""

from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import read_json, sha256_at, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location

FOLDER: Final = "cohort"


class Cohort(FrozenConfig):
    sha256: str
    """Of `cohort/rows.parquet`."""
    rows: int
    date: str
    """Of the run whose rows they are."""
    run_id: str
    snapshot_id: str
    """Dense ids of the rows are of its vocabulary."""


def cohort_of(lake: Lake) -> Cohort | None:
    """None before one was chosen."""
    path = _place(lake)
    return Cohort.model_validate(read_json(path)) if path.exists() else None


def cohort_rows(lake: Lake, cohort: Cohort) -> pa.Table:
    """The rows. DataContractError where the file is gone or not the one that was chosen."""
    path = rows_place(lake)
    if not path.exists() or sha256_at(path) != cohort.sha256:
        raise DataContractError(
            f"{path} is not the cohort that was chosen on {cohort.date} ({cohort.sha256[:12]})",
            "put the file back, or remove the folder: the next run chooses a cohort again",
        )
    with path.open() as handle:
        return pq.read_table(handle)


def save_cohort(lake: Lake, rows: pa.Table, *, date: str, run_id: str, snapshot_id: str) -> Cohort:
    """The rows are the cohort from now on. To be called inside a commit."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    path = rows_place(lake)
    path.write_bytes(sink.getvalue().to_pybytes())
    cohort = Cohort(sha256=sha256_at(path), rows=rows.num_rows, date=date, run_id=run_id, snapshot_id=snapshot_id)
    write_json(_place(lake), cohort.model_dump(mode="json"))
    return cohort


def correct(lake: Lake) -> None:
    """The file as it stands is the cohort: an erasure took rows from it. To be called inside a commit."""
    cohort, path = cohort_of(lake), rows_place(lake)
    if cohort is not None and path.exists() and (now := sha256_at(path)) != cohort.sha256:
        with path.open() as handle:
            rows = pq.read_metadata(handle).num_rows
        write_json(_place(lake), cohort.model_copy(update={"sha256": now, "rows": rows}).model_dump(mode="json"))


def rows_place(lake: Lake) -> Location:
    return lake.root / FOLDER / "rows.parquet"


def _place(lake: Lake) -> Location:
    return lake.root / FOLDER / "cohort.json"
