"""The table of a shop's rules, read and written without a JVM, and whether what a rule names exists."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import write_deltalake

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.contracts.tables import ITEMS, LIST_RULES, VOCABULARY
from nightrank.feature_store.object_storage.addresses import storage_options
from nightrank.feature_store.object_storage.faults import of_delta_rs

FIELDS: Final = tuple(name for name in LIST_RULES.schema.names if name != c.POSITION)


class Placed(NamedTuple):
    """A rule and where it stands: a file's row, or a key of the configuration."""

    rule: ListRule
    place: str


def read_rules(lake: Lake, version: int | None) -> tuple[ListRule, ...]:
    """The rules of that version in their order; none where it is None."""
    if version is None:
        return ()
    rows = delta_read.stored(lake, LIST_RULES, version).to_table().sort_by(c.POSITION).to_pylist()
    return tuple(ListRule.model_validate(_given(row)) for row in rows)


def write_rules(lake: Lake, rules: Sequence[ListRule]) -> int:
    """The table holds exactly these rules afterwards, in one commit; its version. Equal rules leave no new version."""
    version = delta_read.table_version(lake, LIST_RULES.name)
    if version is not None and read_rules(lake, version) == tuple(rules):
        return version
    rows = [{c.POSITION: place, **rule.model_dump(include=set(FIELDS))} for place, rule in enumerate(rules, 1)]
    place = lake.table(LIST_RULES.name)
    with of_delta_rs(place):
        write_deltalake(
            str(place),
            pa.Table.from_pylist(rows, LIST_RULES.schema),
            mode="overwrite",
            schema_mode="overwrite",
            storage_options=storage_options(place),
        )
    written = delta_read.table_version(lake, LIST_RULES.name)
    assert written is not None  # it was written just now
    return written


def check_named(lake: Lake, placed: Iterable[Placed]) -> None:
    """DataContractError naming place and value of the first rule with an item, category or number that the lake has not."""
    rules = list(placed)
    wanted = {
        name: {value for one in rules if (value := getattr(one.rule, name)) is not None}
        for name in (c.ITEM, c.CATEGORY, c.NUMBER)
    }
    known = {
        c.ITEM: _items(lake, wanted[c.ITEM]),
        c.CATEGORY: _within(lake, c.CATEGORIES, pc.list_flatten, wanted[c.CATEGORY]),
        c.NUMBER: _within(lake, c.NUMBERS, _keys, wanted[c.NUMBER]),
    }
    for rule, place in rules:
        for name, values in known.items():
            value = getattr(rule, name)
            if value is not None and value not in values:
                raise DataContractError(
                    f"{place}: {name} {value!r} does not exist in this lake",
                    f"correct the {name}, or import it first (`nightrank import items`)",
                )


def _given(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in FIELDS if row[name] is not None}


def _items(lake: Lake, wanted: set[str]) -> set[str]:
    """Those of the ids that the vocabulary or the catalogue has."""
    by_kind = (ds.field(c.KIND) == "item") & ds.field(c.RAW_ID).isin(list(wanted))
    found = _column(lake, VOCABULARY.name, VOCABULARY.schema, c.RAW_ID, by_kind) if wanted else []
    more = _column(lake, ITEMS.name, ITEMS.schema, c.ITEM_ID, ds.field(c.ITEM_ID).isin(list(wanted))) if wanted else []
    return {*found, *more}


def _within(lake: Lake, column: str, values: Any, wanted: set[str]) -> set[str]:
    if not wanted:
        return set()
    table = delta_read.newest(lake, ITEMS.name)
    if table is None:
        return set()
    stored = delta_read.dataset(lake, ITEMS.name, delta_read.file_paths(table), ITEMS.schema)
    found: set[str] = set()
    for batch in stored.to_batches(columns=[column]):
        found |= wanted.intersection(pc.unique(values(batch.column(column))).to_pylist())
    return found


def _keys(maps: pa.MapArray) -> pa.Array:
    return maps.drop_null().keys if len(maps) else pa.array([], pa.string())


def _column(lake: Lake, name: str, schema: pa.Schema, column: str, rows: Any) -> list[str]:
    table = delta_read.newest(lake, name)
    if table is None:
        return []
    stored = delta_read.dataset(lake, name, delta_read.file_paths(table), schema)
    values: list[str] = stored.to_table(columns=[column], filter=rows)[column].to_pylist()
    return values
