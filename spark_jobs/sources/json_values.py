"""A JSON decoder whose numbers are their own text, and the family of each type it gives."""

import json
from typing import Final

from nightrank.spark_jobs.sources.raw import Family


class _Integer(str):
    __slots__ = ()


class _Float(str):
    __slots__ = ()


DECODER: Final = json.JSONDecoder(parse_int=_Integer, parse_float=_Float, parse_constant=_Float)
FAMILIES: Final[dict[type, Family]] = {
    str: "text",
    _Integer: "integer",
    _Float: "float",
    bool: "boolean",
    list: "list",
    dict: "map",
}
