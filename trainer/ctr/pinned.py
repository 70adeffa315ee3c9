"""What a snapshot says of its impressions: the shapes of a ranker, the codes of its fields, the source of a part's rows."""

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Impressions
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.ctr.codes import FieldCodes
from nightrank.ranker.ctr.config import CtrShapes, FieldShape, NumericShape
from nightrank.trainer.data.conformance import check_part, part_of, pinned_paths


def impressions_in(snapshot: DatasetSnapshot) -> Impressions:
    """DataContractError for a snapshot without impressions."""
    if snapshot.impressions is None:
        raise DataContractError(
            f"snapshot {snapshot.id[:12]} of {snapshot.date} has no impressions to train a click ranker on",
            "import impressions (`nightrank import impressions`), set impressions.enabled, and see impressions.shown and days",
        )
    return snapshot.impressions


def shapes_of(snapshot: DatasetSnapshot) -> CtrShapes:
    spec = impressions_in(snapshot)
    fields = [FieldShape(name=name, size=size) for name, size in zip(spec.fields, spec.sizes, strict=True)]
    numeric = [
        NumericShape(name=name, mean=mean, scale=scale)
        for name, mean, scale in zip(spec.numeric, spec.mean, spec.scale, strict=True)
    ]
    return CtrShapes(fields=tuple(fields), numeric=tuple(numeric), labels=spec.labels, history=spec.history)


def codes_of(snapshot: DatasetSnapshot, root: Location) -> FieldCodes:
    """The codes the rows were written with. DataContractError where they are not those the snapshot counts."""
    part = part_of(snapshot, "impression_codes")
    check_part(part, root, schemas.IMPRESSION_CODES)
    read = [pq.read_table(path, columns=schemas.IMPRESSION_CODES.names) for path in pinned_paths(part, root)]
    table = pa.concat_tables(
        [schemas.IMPRESSION_CODES.empty_table(), *(found.cast(schemas.IMPRESSION_CODES) for found in read)]
    )
    ordered = table.sort_by([(c.FIELD, "ascending"), (c.DENSE_ID, "ascending")])
    return FieldCodes.from_table(ordered, shapes_of(snapshot).fields)
