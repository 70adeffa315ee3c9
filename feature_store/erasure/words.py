"""A user's id in text: a whole word, or, where the id could be any number or word, only where a user is named.

An id of letters alone, of one character, or of up to seven digits is ambiguous: `7` is in every file. It counts after `user` or
`user_id` and up to eight signs without letters or digits, as in `"user_id": "7"` or `user=7`. Any other id counts wherever no
letter, digit, `_` or `-` is next to it. Escaped forms (JSON, HTML, URL) count too.
"""

import html
import json
import re
from typing import Final
from urllib.parse import quote

from nightrank.feature_store.erasure.user import ErasedUser

AMBIGUOUS: Final = re.compile(r"-?[0-9]{1,7}|[A-Za-z]+|.", re.S)
BEFORE, AFTER = rb"(?<![A-Za-z0-9_-])", rb"(?![A-Za-z0-9_-])"
NAMED: Final = rb"(?<![A-Za-z0-9])(?:user_id|user)[^A-Za-z0-9]{1,8}?"


def is_ambiguous(name: str) -> bool:
    return bool(AMBIGUOUS.fullmatch(name))


def pattern_of(user: ErasedUser) -> re.Pattern[bytes]:
    """Matches every occurrence; group `id` is the id itself."""
    free = sorted({form for name in user.names if not is_ambiguous(name) for form in _forms(name)})
    bound = sorted({form for name in user.names if is_ambiguous(name) for form in _forms(name)})
    parts = []
    if free:
        parts.append(BEFORE + rb"(?P<free>" + b"|".join(map(re.escape, free)) + rb")" + AFTER)
    if bound:
        parts.append(NAMED + rb"(?P<bound>" + b"|".join(map(re.escape, bound)) + rb")" + AFTER)
    return re.compile(b"|".join(parts))


def replaced(data: bytes, pattern: re.Pattern[bytes], marker: str) -> tuple[bytes, int]:
    """The text with the marker in place of each id, and how many there were."""

    def marked(match: re.Match[bytes]) -> bytes:
        whole, group = match.group(0), match.lastgroup or "free"
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return whole[:start] + marker.encode() + whole[end:]

    return pattern.subn(marked, data)


def _forms(name: str) -> set[bytes]:
    forms = {name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1], html.escape(name), quote(name, safe="")}
    return {form.encode() for form in forms}
