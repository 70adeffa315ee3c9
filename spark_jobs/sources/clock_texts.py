"""One written time to microseconds: ISO 8601, compact dates, mail headers, a zone's name behind it, strptime directives."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from zoneinfo import ZoneInfo

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZONED: Final = re.compile(r"^(\d{4}-\d\d-\d\d[ T][\d:.]+) ([A-Za-z_]+/[A-Za-z_/+-]+)$")


def parsed(text: str, pattern: str, local: ZoneInfo) -> int | None:
    """Microseconds since the epoch, of `local` where the text names no zone; None where it is not a time."""
    try:
        moment = _auto(text) if pattern == "auto" else datetime.strptime(text, pattern)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=local)
        since = aware - EPOCH
    except (ValueError, KeyError, OverflowError, OSError, TypeError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _auto(text: str) -> datetime:
    if text.isdigit():
        if len(text) not in (8, 14):
            raise ValueError("digits that are not a date")
        return datetime.strptime(text, "%Y%m%d" if len(text) == 8 else "%Y%m%d%H%M%S")
    if zoned := _ZONED.match(text):
        return datetime.fromisoformat(zoned[1]).replace(tzinfo=ZoneInfo(zoned[2]))
    return parsedate_to_datetime(text) if text[:1].isalpha() and "," in text[:5] else datetime.fromisoformat(text)
