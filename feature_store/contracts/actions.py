"""The actions a user can take, as text in raw tables and as int8 codes in dense ones. Codes never change meaning."""

from typing import Final

PADDING: Final = 0
ACTION_CODES: Final[dict[str, int]] = {
    "impression": 1,
    "view": 2,
    "click": 3,
    "cart": 4,
    "purchase": 5,
    "rating": 6,
    "other": 7,
    "refund": 8,
    "dislike": 9,
    "skip": 10,
}
ACTION_NAMES: Final[dict[int, str]] = {code: name for name, code in ACTION_CODES.items()}
"""Anything a source calls differently is mapped by the import's column mapping, or becomes `other`."""
AGAINST: Final = ("refund", "dislike", "skip")
"""Actions that say the opposite of interest. They are never part of a history, so rankers have no input for them."""
HIGHEST_HISTORY_CODE: Final = max(code for name, code in ACTION_CODES.items() if name not in AGAINST)
