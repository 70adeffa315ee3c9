"""Cells that say whether an item can be had: true and false, words of shops, or how many there are."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.spark_jobs.sources.cells import Cells, as_text, raw_where, without_words
from nightrank.spark_jobs.sources.formats import NumberFormat
from nightrank.spark_jobs.sources.numbers import PLAIN, numbers
from nightrank.spark_jobs.sources.raw import RawColumn

REASON: Final = "neither yes, no nor a number in stock"
YES: Final = ("true", "yes", "y", "t", "available", "in stock", "in_stock", "instock", "active", "preorder", "backorder")
NO: Final = ("false", "no", "n", "f", "unavailable", "out of stock", "out_of_stock", "outofstock", "inactive", "sold out")


def flags(column: RawColumn, how: NumberFormat = PLAIN) -> Cells:
    """Booleans. A number is a stock: more than 0 is true. An empty cell is null; another word is too, and keeps its text."""
    if column.family == "boolean":
        return Cells(column.values)
    if column.family != "text":
        return Cells(pc.greater(numbers(column, how).values, 0))
    text = pc.utf8_lower(pc.utf8_trim_whitespace(without_words(as_text(column), how.missing)))
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    yes, no = (pc.is_in(text, pa.array(words)) for words in (YES, NO))
    words = pc.if_else(yes, True, pc.if_else(no, False, pa.scalar(None, pa.bool_())))
    stock = numbers(RawColumn(column.name, _others(text, words), "text", column.file, column.first_row), how).values
    values = pc.coalesce(words, pc.greater(stock, 0))
    return Cells(values, raw_where(as_text(column), pc.or_(pc.is_valid(values), pc.is_null(text))), reason=REASON)


def _others(text: pa.Array, words: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_valid(words), pa.scalar(None, pa.string()), text)
