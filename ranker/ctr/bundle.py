"""A click ranker on disk: config, weights with batch norm's running statistics, and the codes of its fields."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from torch import Tensor

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import canonical_json, write_atomic
from nightrank.ranker.bundle.files import CONFIG, REMEDY, WEIGHTS, read_tensors, verify_manifest, write_manifest
from nightrank.ranker.ctr.batch import ImpressionBatch, check_impressions
from nightrank.ranker.ctr.codes import FieldCodes
from nightrank.ranker.ctr.compose import CtrRanker
from nightrank.ranker.ctr.config import CtrConfig, CtrShapes
from nightrank.ranker.ctr.encode import encoded
from nightrank.ranker.tensor_file import write_tensors

CODES: Final = "field_codes.parquet"
FILES: Final = (CONFIG, WEIGHTS, CODES)


class CtrInfo(FrozenConfig):
    """`config.json`: what the weights are of."""

    schema_version: int = 1
    ctr: CtrConfig
    shapes: CtrShapes
    snapshot_id: str = ""
    """What it was trained on; empty outside of a lake."""


@dataclass(frozen=True)
class CtrBundle:
    """A loaded bundle, in evaluation mode on the CPU."""

    ranker: CtrRanker
    codes: FieldCodes
    manifest_sha256: str
    snapshot_id: str = ""

    def predict(self, table: pa.Table) -> Tensor:
        """[B, A] probabilities of rows as they come: a column a field (as text), a column a number, and `history`, lists of raw
        item ids, oldest first, where the ranker reads histories. DataContractError names a column that is missing."""
        return self.scores(encoded(table, self.ranker, self.codes))

    def scores(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] probabilities; DataContractError for codes that the bundle does not know."""
        return self.ranker.scores(check_impressions(batch, self.ranker.shapes))


def save_ctr_bundle(folder: Path, ranker: CtrRanker, codes: FieldCodes, snapshot_id: str = "") -> str:
    """Writes the ranker with its codes; returns the manifest's sha256: the same content gives the same name."""
    if codes.shapes != ranker.shapes.fields:
        raise DataContractError(
            f"codes of {_named(codes.shapes)} for a ranker of {_named(ranker.shapes.fields)}",
            "pass the codes the ranker's impressions were encoded with",
        )
    folder.mkdir(parents=True, exist_ok=True)
    info = CtrInfo(ctr=ranker.config, shapes=ranker.shapes, snapshot_id=snapshot_id)
    write_atomic(folder / CONFIG, canonical_json(info.model_dump(mode="json")))
    write_tensors(folder / WEIGHTS, ranker.state_dict())
    pq.write_table(codes.to_table(), folder / CODES)
    return write_manifest(folder, FILES)


def load_ctr_bundle(folder: Path, expected: str | None = None) -> CtrBundle:
    """DataContractError where a file was changed, or a tensor has not the shape that the configuration says."""
    name = verify_manifest(folder, expected, FILES)
    info = read_ctr_info(folder)
    ranker = CtrRanker(info.ctr, info.shapes)
    wanted: dict[str, Any] = {key: tuple(value.shape) for key, value in ranker.state_dict().items()}
    tensors = read_tensors(folder / WEIGHTS, wanted)
    ranker.load_state_dict({key: tensors[key] for key in wanted})
    codes = FieldCodes.from_table(pq.read_table(folder / CODES), info.shapes.fields)
    return CtrBundle(ranker.eval(), codes, name, info.snapshot_id)


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
