"""A table's Delta log in step with its files again: sizes, counts and statistics of files that were rewritten in place.

Every version stays readable. The log also names files that are gone (vacuumed). Their smallest or largest id may be the user's,
and is left out. Delta checks none of this itself, so it happens under the lake's lease alone.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.erasure.cells import NAMED
from nightrank.feature_store.erasure.file_statistics import statistics
from nightrank.feature_store.erasure.user import ErasedUser

ACTIONS: Final = ("add", "remove", "cdc")
BOUNDS: Final = ("minValues", "maxValues")
VERSIONED: Final = re.compile(r"[0-9]{20}\.(json|.*parquet)$|.*\.parquet$")
"""Names of commits, checkpoints and their sidecars."""
PREFIX: Final = 32
"""Characters of a text that Delta keeps in statistics."""
Action = dict[str, Any]


def found_in(place: Location, user: ErasedUser, pattern: re.Pattern[bytes]) -> int:
    """How often a commit or a checkpoint names the user: as a bound of a column of users, or anywhere beside the statistics."""
    if place.suffix == ".parquet":
        with place.open() as handle:
            lines = pq.read_table(handle).to_pylist()
    else:
        lines = [json.loads(line) for line in place.read_bytes().splitlines() if line.strip()]
    return sum(_named(line, user, pattern) for line in lines)


def _named(line: Action, user: ErasedUser, pattern: re.Pattern[bytes]) -> int:
    bounds, rest = 0, Action()
    for name, body in line.items():
        if name in ACTIONS and body:
            stats = json.loads(body.get("stats") or "{}")
            bounds += sum(is_name(user, key, value) for each in BOUNDS for key, value in (stats.get(each) or {}).items())
            body = {key: value for key, value in body.items() if key not in ("stats", "stats_parsed")}
        rest[name] = body
    return bounds + sum(1 for _ in pattern.finditer(json.dumps(rest, default=str).encode()))


def is_name(user: ErasedUser, column: str, value: Any) -> bool:
    """Whether a bound of that column is the user's id, or the part of a long id that Delta keeps."""
    if column not in (*NAMED, c.RAW_ID) or not isinstance(value, str):
        return False
    return any(value == name or (len(name) > PREFIX and value[:PREFIX] == name[:PREFIX]) for name in user.names)


class LogUpdate:
    """Compares the log's actions with the files as they are now."""

    def __init__(self, lake: Lake, table: str, user: ErasedUser) -> None:
        self.folder, self.user = lake.table(table), user
        self.sizes = {place.below(self.folder): entry.size for place, entry in self.folder.walk()}
        self._statistics: dict[str, dict[str, Any]] = {}

    def apply(self) -> int:
        """How many files of the log were rewritten. Checksum files beside a rewritten log are removed: Delta does without."""
        changed = [place for place in self._logs() if self._rewritten(place)]
        if changed:
            for place, _ in (self.folder / "_delta_log").walk():
                if place.suffix == ".crc" or place.name == "_last_checkpoint":
                    place.unlink()
        return len(changed)

    def _logs(self) -> list[Location]:
        found = [place for place, _ in (self.folder / "_delta_log").walk()]
        return [place for place in found if place.suffix == ".json" or place.suffix == ".parquet"]

    def _rewritten(self, place: Location) -> bool:
        if place.suffix == ".parquet":
            return self._checkpoint(place)
        data = self._of_json(place)
        if data is not None:
            place.write_bytes(data)
        return data is not None

    def _of_json(self, place: Location) -> bytes | None:
        """The commit as it should be; None where it is right."""
        lines = [json.loads(line) for line in place.read_bytes().splitlines() if line.strip()]
        changed = [self._corrected(line, name) for line in lines for name in ACTIONS if line.get(name)]
        return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines) if any(changed) else None

    def _checkpoint(self, place: Location) -> bool:
        with place.open() as handle:
            table = pq.read_table(handle)
        changed = False
        for name in (name for name in ACTIONS if name in table.column_names):
            values = table[name].to_pylist()
            touched = [self._corrected({name: value}, name) for value in values if value]
            if any(touched):
                at, changed = table.column_names.index(name), True
                table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
        if changed:
            with tempfile.TemporaryDirectory(prefix="nightrank-erase-") as folder:
                pq.write_table(table, Path(folder) / "draft.parquet", store_schema=False)
                place.upload(Path(folder) / "draft.parquet")
        return changed

    def _corrected(self, line: Action, name: str) -> bool:
        """Changes the action in place where its file has another size, or its statistics hold the user's id."""
        action: Action = line[name]
        path = unquote(action["path"])
        before = (action.get("size"), action.get("stats"))
        size = self.sizes.get(path)
        resized = size is not None and action.get("size") not in (None, size)
        if resized:
            action["size"] = size
        if action.get("stats"):
            found: dict[str, Any] = json.loads(action["stats"])
            kept = self._without_names(self._measured(path, found) if resized else found)
            if kept != found:
                action["stats"] = json.dumps(kept, separators=(",", ":"))
        changed = before != (action.get("size"), action.get("stats"))
        if changed and action.get("stats_parsed") is not None:
            action["stats_parsed"] = None
        return changed

    def _measured(self, path: str, before: dict[str, Any]) -> dict[str, Any]:
        if path not in self._statistics:
            self._statistics[path] = statistics(self.folder / path, before)
        return self._statistics[path]

    def _without_names(self, stats: dict[str, Any]) -> dict[str, Any]:
        kept = dict(stats)
        for bound in BOUNDS:
            values = stats.get(bound) or {}
            if any(is_name(self.user, key, value) for key, value in values.items()):
                kept[bound] = {key: value for key, value in values.items() if not is_name(self.user, key, value)}
        return kept
