"""The manifest of a bundle: the sha256 of each of its files. Its own sha256 is the bundle's name."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from nightrank.feature_store.contracts.files import read_json

MANIFEST: Final = "manifest.json"
ERASURE: Final = "erasure.json"
"""Beside a manifest: the sha256 of files from which an erased user was removed."""


class Folder(Protocol):
    """A path or a place in storage."""

    def __truediv__(self, below: str, /) -> Any: ...


def listed(folder: Folder) -> Mapping[str, str]:
    """File -> the sha256 that it must have now: the manifest's, or that of after an erasure."""
    found: dict[str, str] = read_json(folder / MANIFEST)
    note = folder / ERASURE
    return {**found, **(read_json(note) if note.exists() else {})}
