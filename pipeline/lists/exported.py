"""Files that `nightrank export` wrote outside the lake: `LAKE/exported.json` names them, so that an erasure finds them."""

import csv
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location, locate
from nightrank.feature_store.erasure import parquet_files
from nightrank.feature_store.erasure.user import ErasedUser

NAME: Final = "exported.json"


class Exported(FrozenConfig):
    path: str
    host: str
    """Where it was written: another machine cannot look into it."""
    kind: str
    release_id: str
    at: str


def exports(lake: Lake) -> tuple[Exported, ...]:
    """In the order in which they were written."""
    path = _place(lake)
    return tuple(Exported.model_validate(each) for each in read_json(path)) if path.exists() else ()


def remember(lake: Lake, target: Path, kind: str, release_id: str) -> None:
    """To be called before the first row is written."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    new = Exported(path=str(target.absolute()), host=os.uname().nodename, kind=kind, release_id=release_id, at=at)
    known = {(each.host, each.path): each for each in exports(lake)} | {(new.host, new.path): new}
    write_json(_place(lake), [each.model_dump(mode="json") for each in known.values()])


def here(lake: Lake) -> tuple[list[Exported], list[str]]:
    """(exports that this machine can read, names of those of other machines). A file that is gone is neither."""
    found, away = [], []
    for each in exports(lake):
        if each.host != os.uname().nodename:
            away.append(f"{each.path} on {each.host}")
        elif Path(each.path).exists():
            found.append(each)
    return found, away


def holds(export: Exported, user: ErasedUser) -> bool:
    """By the column of users: text is not searched, an item may have the same name."""
    if export.kind == "parquet":
        return bool(parquet_files.find(locate(export.path), user))
    with open(export.path, newline="") as source:
        return any(_is_his(row, user) for _, row in _rows(export, source))


def take_out(export: Exported, user: ErasedUser) -> None:
    """The file is there without the user's rows, replaced in one step."""
    if export.kind == "parquet":
        parquet_files.rewrite(locate(export.path), user)
        return
    target = Path(export.path)
    draft = target.with_name(f".{target.name}.tmp")
    with open(target, newline="") as source, open(draft, "w", newline="") as sink:
        if export.kind == "csv":
            sink.write(source.readline())
            source.seek(0)
        sink.writelines(line for line, row in _rows(export, source) if not _is_his(row, user))
    draft.replace(target)


def _rows(export: Exported, source: TextIO) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row as it stands in the file, and read."""
    if export.kind != "csv":
        yield from ((line, json.loads(line)) for line in source)
        return
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in source:
            read.append(line)
            yield line

    rows = csv.reader(lines())
    names = next(rows)
    read.clear()
    for row in rows:
        yield "".join(read), dict(zip(names, row, strict=True))
        read.clear()


def _is_his(row: dict[str, str], user: ErasedUser) -> bool:
    """In CSV an id may have an apostrophe before it, which keeps a spreadsheet from running it."""
    found = str(row[c.USER_ID])
    return found in user.names or found.removeprefix("'") in user.names


def _place(lake: Lake) -> Location:
    return lake.root / NAME
