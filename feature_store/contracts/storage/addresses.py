"""From what a user writes to a Location."""

import os
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.storage.location import Location

SCHEMES: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "abfss": "abfss", "az": "abfss", "hdfs": "hdfs"}
"""What an address may begin with, and the name that is kept of it."""

ELSEWHERE: Final = ("file", "s3n", "wasbs", "http", "https")
"""Schemes that others use, where a folder is hardly meant."""


def locate(text: str | Path | Location) -> Location:
    """The place that a user named. UsageError for an address of a kind that nightrank does not know."""
    if isinstance(text, Location):
        return text
    scheme, separator, rest = str(text).partition("://")
    if not separator:
        _refuse_half_an_address(str(text))
        return _on_disk(Path(text))
    if "://" in rest or "," in rest:
        raise UsageError(f"{text} names more than one place", f"a lake has one address; write {scheme}://bucket/folder")
    if scheme == "file":
        return _on_disk(Path(rest))
    if scheme not in SCHEMES:
        raise UsageError(
            f"{scheme}:// is no storage that nightrank can use",
            f"name a folder, or one of {', '.join(SCHEMES)}://bucket/folder",
        )
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise UsageError(f"{text} names no bucket", f"write {scheme}://bucket/folder")
    parts = [part for part in key.split("/") if part]
    if ".." in parts or "." in parts:
        raise UsageError(f"{text} has . or .. in it", "name the folder itself")
    return Location(SCHEMES[scheme], bucket, "/".join(parts))


def _refuse_half_an_address(text: str) -> None:
    """`s3:/bucket` would be a folder of that name below the current one."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() not in (*SCHEMES, *ELSEWHERE) or os.path.lexists(text):
        return
    below = rest.lstrip("/") or "bucket/folder"
    remedy = f"write /{below}" if scheme.lower() == "file" else f"write {scheme.lower()}://{below}"
    raise UsageError(f"{text} is no address, and there is no such folder", remedy)


def _on_disk(path: Path) -> Location:
    absolute = path.absolute()
    return Location("file", "", str(absolute.resolve() if ".." in absolute.parts else absolute))


def lake_root(text: str | Path | Location) -> Location:
    """The lake that a user named: a folder with `~` and links resolved, or an address. See `locate` for errors."""
    if isinstance(text, Location) or "://" in str(text):
        return locate(text)
    return locate(Path(text).expanduser().resolve())
