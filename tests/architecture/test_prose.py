"""Docs, comments, docstrings and messages are plain modern English: words that were replaced once do not come back."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, tracked_files

BANNED = {
    "anew": "again",
    "bears": "has",
    "came to its end": "finished",
    "came to their end": "finished",
    "comes to its end": "finishes",
    "dealt": "assigned",
    "dearest": "most expensive",
    "for ever": "forever",
    "forth and back": "forward and backward",
    "gone through": "processed",
    "handed on": "passed on",
    "hands on": "passes on",
    "heed": "attention",
    "holds good": "is true",
    "laid over": "merged into",
    "lies over": "overrides",
    "mend": "fix",
    "mended": "fixed",
    "mends": "fixes",
    "of before": "earlier",
    "of late": "recently",
    "otherwise than": "differently from",
    "passed over": "skipped",
    "take up": "resume, use",
    "taken up": "resumed, used",
    "to be had": "available",
    "torn": "incomplete",
    "unsaid": "not given",
    "way out": "remedy, what to do",
}
"""Words of prose, with what to write instead. Only words that are never right here; style as a whole is for review."""
WORDS = re.compile(r"\b(?:" + "|".join(word.replace(" ", r"[\s#/*]+") for word in BANNED) + r")\b", re.I)
PROSE = {".md", ".yaml", ".j2", ".hpp", ".cpp", ".ipynb", ".pyi"}


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of what is written for readers: of Python comments and strings, of other files everything."""
    text = path.read_text()
    if path.suffix != ".py":
        yield 1, text
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], token.string


def banned_in(text: str) -> Iterator[tuple[int, str]]:
    """(lines before it, word) of every banned word."""
    for match in WORDS.finditer(text):
        yield text.count("\n", 0, match.start()), re.sub(r"[\s#/*]+", " ", match.group(0)).lower()


def test_no_text_has_a_word_that_was_replaced():
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{line + below} {word}: write {BANNED[word]}"
        for path in tracked_files()
        if path.suffix in PROSE | {".py"} and ROOT / "tests" not in path.parents
        for line, text in prose(path)
        for below, word in banned_in(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("the vectors are encoded anew", "anew"),
        ("# the trial came to\n# its end", "came to its end"),
        ('"""Mend the file."""', "mend"),
        ("what the stage hands\n    on", "hands on"),
    ],
)
def test_a_banned_word_is_seen(text: str, word: str):
    assert [found for _, found in banned_in(text)] == [word]


def test_a_word_that_only_holds_the_letters_is_free():
    assert not list(banned_in("recommended, amendment, tornado, forbears, a heedless way, outputs"))
