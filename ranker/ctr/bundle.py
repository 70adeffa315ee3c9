"""A click ranker on disk: config, weights with batch norm's running statistics, codes of its fields, sums of its aggregates."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from torch import Tensor

from nightrank.feature_store.contracts.aggregates import named_by_rows
from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import canonical_json, write_atomic
from nightrank.ranker.bundle.files import CONFIG, REMEDY, WEIGHTS, read_tensors, verify_manifest, write_manifest
from nightrank.ranker.ctr.batch import ImpressionBatch, check_impressions
from nightrank.ranker.ctr.codes import FieldCodes
from nightrank.ranker.ctr.compose import CtrRanker
from nightrank.ranker.ctr.config import CtrConfig, CtrShapes
from nightrank.ranker.ctr.encode import encoded
from nightrank.ranker.ctr.sums import AggregateSums
from nightrank.ranker.tensor_file import write_tensors

CODES: Final = "field_codes.parquet"
FILES: Final = (CONFIG, WEIGHTS, CODES)
SUMS: Final = "aggregates.parquet"


class CtrInfo(FrozenConfig):
    """`config.json`: what the weights are of."""

    schema_version: int = 1
    ctr: CtrConfig
    shapes: CtrShapes
    snapshot_id: str = ""
    """What it was trained on; empty outside of a lake."""
    timezone: str | None = None
    """Of the days that its aggregates are as of; None where it reads none, or holds no sums to look them up in."""

    @property
    def body(self) -> dict[str, Any]:
        """What is written. A bundle without aggregates reads as it did before there were any."""
        body: dict[str, Any] = self.model_dump(mode="json")
        return {name: value for name, value in body.items() if name != "timezone" or value is not None}

    @property
    def files(self) -> tuple[str, ...]:
        return FILES if self.timezone is None else (*FILES, SUMS)


@dataclass(frozen=True)
class CtrBundle:
    """A loaded bundle, in evaluation mode on the CPU."""

    ranker: CtrRanker
    codes: FieldCodes
    manifest_sha256: str
    folder: Path
    snapshot_id: str = ""
    timezone: str | None = None

    @cached_property
    def sums(self) -> AggregateSums | None:
        """What aggregates are looked up in, checked and read when asked for; None where the bundle holds none."""
        if self.timezone is None:
            return None
        verify_manifest(self.folder, self.manifest_sha256, (SUMS,))
        names = [number.name for number in self.ranker.shapes.numeric]
        return AggregateSums.from_table(pq.read_table(self.folder / SUMS), names, self.timezone)

    def predict(self, table: pa.Table) -> Tensor:
        """[B, A] probabilities of rows as they come: a column a field (as text), a column a number, and `history`, lists of raw
        item ids, oldest first, where the ranker reads histories. DataContractError names a column that is missing.

        Aggregates that have no column are looked up as of `event_time` (microseconds since the epoch, or timestamps).
        """
        return self.scores(encoded(self.with_aggregates(table), self.ranker, self.codes))

    def with_aggregates(self, table: pa.Table) -> pa.Table:
        missing = [number.name for number in self.ranker.shapes.numeric if number.name not in table.column_names]
        if not named_by_rows(missing) or self.sums is None:
            return table
        for name, values in self.sums.numbers(table, missing).items():
            table = table.append_column(name, pa.array(values))
        return table

    def scores(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] probabilities; DataContractError for codes that the bundle does not know."""
        return self.ranker.scores(check_impressions(batch, self.ranker.shapes))


def save_ctr_bundle(
    folder: Path, ranker: CtrRanker, codes: FieldCodes, snapshot_id: str = "", sums: AggregateSums | None = None
) -> str:
    """Writes the ranker with its codes, and the sums of its aggregates where it reads any; returns the manifest's sha256: the
    same content gives the same name."""
    if codes.shapes != ranker.shapes.fields:
        raise DataContractError(
            f"codes of {_named(codes.shapes)} for a ranker of {_named(ranker.shapes.fields)}",
            "pass the codes the ranker's impressions were encoded with",
        )
    folder.mkdir(parents=True, exist_ok=True)
    timezone = None if sums is None else sums.timezone
    info = CtrInfo(ctr=ranker.config, shapes=ranker.shapes, snapshot_id=snapshot_id, timezone=timezone)
    write_atomic(folder / CONFIG, canonical_json(info.body))
    write_tensors(folder / WEIGHTS, ranker.state_dict())
    pq.write_table(codes.to_table(), folder / CODES)
    if sums is not None:
        pq.write_table(sums.to_table(), folder / SUMS)
    return write_manifest(folder, info.files)


def load_ctr_bundle(folder: Path, expected: str | None = None) -> CtrBundle:
    """DataContractError where a file was changed, or a tensor has not the shape that the configuration says."""
    name = verify_manifest(folder, expected, FILES)
    info = read_ctr_info(folder)
    ranker = CtrRanker(info.ctr, info.shapes)
    wanted: dict[str, Any] = {key: tuple(value.shape) for key, value in ranker.state_dict().items()}
    tensors = read_tensors(folder / WEIGHTS, wanted)
    ranker.load_state_dict({key: tensors[key] for key in wanted})
    codes = FieldCodes.from_table(pq.read_table(folder / CODES), info.shapes.fields)
    return CtrBundle(ranker.eval(), codes, name, folder, info.snapshot_id, info.timezone)


def read_ctr_info(folder: Path) -> CtrInfo:
    """`config.json`; DataContractError naming what in it is not known here."""
    try:
        return CtrInfo.model_validate_json((folder / CONFIG).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise DataContractError(f"bundle {folder.name}: {CONFIG}: {place}: {first['msg']}", REMEDY) from None


def _named(shapes: Any) -> str:
    return ", ".join(f"{shape.name} ({shape.size})" for shape in shapes)
