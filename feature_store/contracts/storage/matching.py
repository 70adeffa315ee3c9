"""Patterns of names, as a shell has them, on a disk and in a bucket."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from nightrank.feature_store.contracts.storage.store import Store

ANY_DEPTH = "**"
_SPECIAL = frozenset("*?[")


def matching(store: Store, key: str, pattern: str) -> Iterator[str]:
    """Keys below `key` that match. `**` comes first, and then one name; other parts match one folder or file each."""
    first, _, rest = pattern.partition("/")
    if first == ANY_DEPTH:
        yield from (entry.key for entry in store.walk(key) if fnmatchcase(_name(entry.key), rest))
    elif rest and not _SPECIAL & set(first):
        yield from matching(store, _below(key, first), rest)
    else:
        files, folders = store.children(key)
        found = [each for each in folders if fnmatchcase(_name(each), first)]
        if rest:
            for each in found:
                yield from matching(store, each, rest)
        else:
            yield from [*found, *(entry.key for entry in files if fnmatchcase(_name(entry.key), first))]


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _below(key: str, name: str) -> str:
    return f"{key.rstrip('/')}/{name}" if key else name
