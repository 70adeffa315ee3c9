"""The pyarrow schemas of what stands beside users' lists: a shop's rules."""

from typing import Final

import pyarrow as pa

LIST_RULES: Final = pa.schema(
    {
        "position": pa.int32(),
        "kind": pa.string(),
        "item": pa.string(),
        "category": pa.string(),
        "number": pa.string(),
        "lowest": pa.float64(),
        "highest": pa.float64(),
        "actions": pa.list_(pa.string()),
        "days": pa.int32(),
        "at_most": pa.int32(),
        "note": pa.string(),
    }
)
"""In their order, as `contracts.list_rules.ListRule` has them; `item` is the raw id."""
