"""Cells that were filled and could not be read, counted by table, column and reason, with a few samples."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.cells import Cells

SAMPLES: Final = 3
KEPT: Final = 24
"""At most this many different texts are read to find the remedy."""
LONGEST: Final = 40
_COMMA: Final = re.compile(r"^\D*([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]{1,2}\D*$")
_POINT: Final = re.compile(r"^\D*[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?\D*$")
_CURRENCY: Final = re.compile(r"^[+-]?\s*([€$£¥₹]|[A-Z]{3})\s*[0-9]|[0-9]\s*([€$£¥₹]|[A-Z]{3})$")


@dataclass
class Fault:
    cells: int = 0
    samples: list[str] = field(default_factory=list)


@dataclass
class Faults:
    """`filled` counts the cells that held something, per table and column."""

    found: dict[tuple[str, str, str], Fault] = field(default_factory=dict)
    filled: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, table: str, column: str, cells: Cells) -> None:
        faulty = cells.faulty
        wrong = pc.sum(faulty).as_py() or 0 if faulty is not None else 0
        missing_as_faulty = wrong - (pc.sum(pc.and_(faulty, pc.is_valid(cells.values))).as_py() or 0) if wrong else 0
        key = (table, column)
        self.filled[key] = self.filled.get(key, 0) + len(cells.values) - cells.values.null_count + missing_as_faulty
        if wrong:
            fault = self.found.setdefault((*key, cells.reason), Fault())
            fault.cells += wrong
            if cells.raw is not None and len(fault.samples) < KEPT:
                self._sample(fault, cells.raw)

    def _sample(self, fault: Fault, raw: pa.Array) -> None:
        for text in pc.unique(raw.drop_null()).slice(0, KEPT).to_pylist():
            if len(fault.samples) < KEPT and text[:LONGEST] not in fault.samples:
                fault.samples.append(text[:LONGEST])

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"table": table, "column": column, "reason": reason, "cells": fault.cells, "samples": fault.samples[:SAMPLES]}
            for (table, column, reason), fault in self.found.items()
        ]

    def lines(self) -> list[str]:
        return [_line(*key, fault) for key, fault in self.found.items()]

    def refuse_broken_columns(self) -> None:
        """DataContractError where most filled cells of a column could not be read: a wrong mapping, not a few bad cells."""
        for (table, column, reason), fault in self.found.items():
            filled = self.filled[(table, column)]
            if 2 * fault.cells > filled:
                raise DataContractError(
                    f"{table}: {fault.cells:,} of {filled:,} filled cells of column {column} are {reason}{_shown(fault)}; "
                    "nothing landed",
                    remedy(table, reason, fault.samples),
                )


def _line(table: str, column: str, reason: str, fault: Fault) -> str:
    cells = "1 cell" if fault.cells == 1 else f"{fault.cells:,} cells"
    return f"{table}: {cells} of column {column}: {reason}{_shown(fault)}"


def _shown(fault: Fault) -> str:
    return f" (such as {', '.join(map(repr, fault.samples[:SAMPLES]))})" if fault.samples else ""


def remedy(table: str, reason: str, samples: list[str]) -> str:
    """The setting that most likely makes these cells readable."""
    if "time" in reason:
        return (
            f"say how they are written in the mapping, `{table}: {{time: {{format: …, unit: …, timezone: …}}}}`: strptime "
            "directives such as %d.%m.%Y %H:%M, or epoch with its unit; `nightrank import --guess FILE` proposes one"
        )
    if "64-bit" in reason:
        return "say `id_type: string` in the mapping, or name the right column"
    parts = number_format(samples)
    setting = f"{table}: {{numbers: {{{', '.join(parts)}}}}}" if parts else "another column"
    return f"say `{setting}` in the mapping; `nightrank import --guess FILE` proposes one"


def number_format(samples: list[str]) -> list[str]:
    """The keys of `numbers:` under which texts like these are numbers; empty where none is likely."""
    parts = []
    commas, points = (sum(bool(style.match(text)) for text in samples) for style in (_COMMA, _POINT))
    if commas > points:
        parts.append('decimal: ","')
        if any("." in text for text in samples):
            parts.append('thousands: "."')
    elif points:
        parts.append('thousands: ","')
    if any(_CURRENCY.search(text) for text in samples):
        parts.append("currency: true")
    return parts
