"""The objects of one JSON array, one after the other: the file is never in memory as a whole."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.json_values import DECODER, FAMILIES

CHUNK: Final = 1 << 20
LONGEST: Final = 32 << 20
"""Characters of one element: more is a file that is broken, not an object."""
_REMEDY: Final = "the file must be one array of JSON objects, or have one object per line; fix it there"
_BETWEEN: Final = re.compile(r"[\s,]*")


@dataclass
class _Window:
    """What is read of the file and not yet used: `text` from `place` on."""

    handle: IO[str]
    text: str = ""
    place: int = 0

    def more(self) -> bool:
        """False at the end of the file."""
        read = self.handle.read(max(CHUNK, len(self.text) - self.place))
        self.text, self.place = self.text[self.place :] + read, 0
        return bool(read)

    def skip_separators(self) -> str:
        """The first character of the next element (or the closing bracket), where `place` then is; empty at the end."""
        while True:
            found = _BETWEEN.match(self.text, self.place)
            self.place = found.end() if found else self.place
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.more():
                return ""


def is_array(handle: IO[str]) -> bool:
    """Whether the first character that is no space is `[`. The handle is then behind it, else at the beginning."""
    while (character := handle.read(1)).isspace():
        pass
    if character == "[":
        return True
    handle.seek(0)
    return False


def elements(file: Path, handle: IO[str]) -> Iterator[dict[str, Any]]:
    """The elements from behind the `[` to the `]`. DataContractError names the element that is no whole JSON object."""
    window, number = _Window(handle), 1
    while (character := window.skip_separators()) != "]":
        if not character:
            raise DataContractError(f"{file}: the array ends after element {number - 1} without a ]", "the file is truncated")
        yield _object(file, window, number)
        number += 1


def _object(file: Path, window: _Window, number: int) -> dict[str, Any]:
    while True:
        try:
            value, end = DECODER.raw_decode(window.text, window.place)
            break
        except json.JSONDecodeError as error:
            if len(window.text) - window.place > LONGEST or not window.more():
                raise DataContractError(f"{file}: element {number} is not complete JSON: {error.msg}", _REMEDY) from None
    if not isinstance(value, dict):
        raise DataContractError(f"{file}: element {number} is {FAMILIES.get(type(value), 'null')}, not an object", _REMEDY)
    window.place = end
    return value
