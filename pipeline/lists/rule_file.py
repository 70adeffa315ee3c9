"""A file of a shop's rules: CSV with a header, or a YAML list. Every fault names the file, the row and the value."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from nightrank.feature_store.contracts.doors import MOST_BYTES, check_readable, parse_yaml, yaml_fault
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.rule_rows import Placed

NUMBERS: Final = ("lowest", "highest")
COUNTS: Final = ("days", "at_most")
REMEDY: Final = "`nightrank rules import --help` shows a file that works"


def read_rule_file(path: Path) -> list[Placed]:
    """The rules in the order of the file. UsageError where it cannot be read, DataContractError for a row that is no rule."""
    check_readable(path, "rule file", UsageError, "name a CSV or YAML file")
    if path.is_dir() or path.stat().st_size > MOST_BYTES:
        raise UsageError(f"rule file {path} is a folder, or has more than {MOST_BYTES:,} bytes", "name a CSV or YAML file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"rule file {path} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _yaml_rows(path, text)
    return [Placed(_rule(row, place), place) for place, row in rows]


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """Empty cells are left out. Several actions stand in one cell with `|` between them."""
    for row in (reader := csv.DictReader(text.splitlines())):
        place = f"{path.name}, row {reader.line_num}"
        if None in row or None in row.values():
            raise DataContractError(f"{place}: {len(reader.fieldnames or ())} cells are needed", REMEDY)
        given = {name.strip(): cell.strip() for name, cell in row.items() if cell.strip()}
        if given:
            yield place, {name: _typed(name, cell, place) for name, cell in given.items()}


def _typed(name: str, cell: str, place: str) -> Any:
    try:
        if name in NUMBERS:
            return float(cell)
        if name in COUNTS:
            return int(cell)
    except ValueError:
        raise DataContractError(f"{place}: {name} {cell!r} is not a number", REMEDY) from None
    return cell.split("|") if name == "actions" else cell


def _yaml_rows(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        tree = parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"rule file {path} is not YAML: {yaml_fault(error)}", "fix the file at that place") from None
    if tree is not None and not isinstance(tree, list):
        raise DataContractError(f"{path.name} is not a list of rules", REMEDY)
    for number, row in enumerate(tree or [], 1):
        yield f"{path.name}, rule {number}", row


def _rule(row: Any, place: str) -> ListRule:
    try:
        return ListRule.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        found = f"{name} {first['input']!r:.60}: " if name else ""
        message = first["msg"].removeprefix("Value error, ")
        raise DataContractError(f"{place}: {found}{message}", REMEDY) from None
