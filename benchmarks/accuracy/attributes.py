"""Attributes of a sequence set's items (JSON: item id -> list of codes from 1) as categories of the ranker's items."""

import json
from pathlib import Path

from torch import Tensor

from benchmarks.accuracy.sequences import Sequences
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.inputs import padded_categories


def read_attributes(path: Path, data: Sequences) -> Tensor:
    """[items + 1, C] codes, 0 fills up; an item the file does not name has none. DataContractError for a code below 1."""
    by_item: dict[str, list[int]] = json.loads(path.read_text())
    lists = [by_item.get(str(item - data.shift), []) if item else [] for item in range(data.items + 1)]
    if any(code < 1 for codes in lists for code in codes):
        raise DataContractError(f"{path.name} has a code below 1", "number attributes from 1: 0 stands for none")
    return padded_categories(lists)
