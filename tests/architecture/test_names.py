"""Names in code are the field's standard terms: what was replaced once does not come back."""

import ast
import re

import pytest

from tests.architecture.tree import ROOT, tracked_files

BANNED = {
    "said": "what it holds: message, expected, reported",
    "asked": "request, query, settings",
    "who": "user, rank, owner",
    "heart": "heartbeat",
    "sheet": "buffer",
    "dealt": "assigned",
    "rectangle": "PaddedLayout",
    "pass_by": "scatter",
    "told_by_root": "broadcast_object",
    "waits": "time_to_next_event",
    "pull": "penalty",
    "refresh": "refit",
    "run_book": "RunDirectory",
    "runbook": "RunDirectory",
    "clicks": "ctr",
    "take_up": "resume",
    "stands": "already_committed",
    "spread": "std",
}
"""Words of an identifier, with the term to use instead."""


def defined(tree: ast.AST):
    """Names that the file gives: variables, parameters, fields, functions, classes and aliases, not those it only uses.
    A test function's name is a sentence, and free."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if not name.startswith("test_"):
                    yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno


def banned_in(name: str) -> list[str]:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return [word for word in BANNED if f"_{word}_" in f"_{words}_"]


def test_no_name_is_a_word_that_was_replaced():
    found = []
    for path in tracked_files():
        if path.suffix == ".py":
            where = path.relative_to(ROOT).as_posix()
            names = [(path.stem, 0)] if not path.stem.startswith("test_") else []
            names += defined(ast.parse(path.read_text()))
            found += [f"{where}:{line} {name}: say {BANNED[word]}" for name, line in names for word in banned_in(name)]
    assert found == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("said = 1", "said"),
        ("def f(*, asked_by): ...", "asked_by"),
        ("class Row:\n    who: str", "who"),
        ("self._asked = 0", "_asked"),
        ("class RunBook: ...", "RunBook"),
        ("[HeartBeat for NOT_ASKED in x]", "NOT_ASKED"),
    ],
)
def test_a_banned_name_is_seen(code, name):
    assert [found for found, _ in defined(ast.parse(code)) if banned_in(found)] == [name]


def test_a_name_that_only_holds_the_letters_is_free():
    assert not any(banned_in(name) for name in ("whole", "understands", "heartbeat", "task"))
