"""The tables of features that a snapshot pins, as a ranker reads them. In memory 8 + 4 C bytes a row of C counters."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.as_of import Cumulative
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import ITEM_FEATURES, USER_FEATURES
from nightrank.ranker.features import AttributeCodes, FeatureTables
from nightrank.trainer.data.item_inputs import REBUILD, part_tables

_loaded: dict[tuple[str, str, Features], FeatureTables] = {}


def load_features(snapshot: DatasetSnapshot, root: Location, features: Features | None) -> FeatureTables | None:
    """The tables for what a ranker reads, which need not be what the snapshot's own ranker does; None where it reads nothing.

    DataContractError where the snapshot lacks a table or a counter.
    """
    if features is None:
        return None
    key = (str(root), snapshot.id, features)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = FeatureTables(
            features=features,
            user=pinned_sums(snapshot, root, "user_features", features.user) if features.user else None,
            item=pinned_sums(snapshot, root, "item_features", features.item) if features.item else None,
            attributes=_attributes(snapshot, root, features) if features.attributes else None,
        )
    return _loaded[key]


def pinned_sums(snapshot: DatasetSnapshot, root: Location, part: PartName, names: tuple[str, ...]) -> Cumulative:
    """The sums that these aggregates are looked up in, from the part's day counts, or from the sums that a snapshot of an
    earlier release pins. DataContractError where the snapshot lacks the part or a counter."""
    _check_pinned(snapshot, part)
    schema = schemas.USER_FEATURES if part == "user_features" else schemas.ITEM_FEATURES
    wanted = pa.schema([schema.field(0), schema.field(c.DAY), *(schema.field(name) for name in counters_of(names))])
    whole = pa.concat_tables([wanted.empty_table(), *part_tables(snapshot, root, part, wanted)])
    for name in wanted.names:
        if whole[name].null_count:
            raise DataContractError(f"part {part} of snapshot {snapshot.id[:12]} does not hold {name}", REBUILD)
    counters = [whole[name].to_numpy() for name in wanted.names[2:]]
    summed = snapshot.parts[part].table in (USER_FEATURES.name, ITEM_FEATURES.name)
    read = Cumulative.of_columns if summed else Cumulative.of_day_counts
    return read(whole[0].to_numpy(), whole[1].to_numpy(), counters)


def _attributes(snapshot: DatasetSnapshot, root: Location, features: Features) -> AttributeCodes:
    _check_pinned(snapshot, "user_attributes")
    wanted = schemas.USER_ATTRIBUTES
    whole = pa.concat_tables([wanted.empty_table(), *part_tables(snapshot, root, "user_attributes", wanted)])
    codes = np.zeros((len(whole), len(features.attributes)), np.int32)
    for place, attribute in enumerate(features.attributes):
        named = [pc.map_lookup(chunk, pa.scalar(attribute.name), "first") for chunk in whole[c.ATTRIBUTES].chunks]
        found = pc.index_in(pa.chunked_array(named, pa.string()), pa.array(attribute.values, pa.string()))
        codes[:, place] = _numbers(pc.fill_null(pc.add(found, 1), 0))
    users, known_from = _numbers(whole[c.USER]), _numbers(whole[c.KNOWN_FROM])
    order = np.argsort(users, kind="stable")
    return AttributeCodes(users[order], codes[order], known_from[order])


def _numbers(column: Any) -> npt.NDArray[Any]:
    result: npt.NDArray[Any] = column.to_numpy()
    return result


def _check_pinned(snapshot: DatasetSnapshot, part: PartName) -> None:
    if part not in snapshot.parts:
        raise DataContractError(f"snapshot {snapshot.id[:12]} pins no part {part}, which the ranker reads", REBUILD)
