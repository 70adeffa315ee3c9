"""`nightrank import --guess FILE`: the mapping this file most likely needs, and its first rows as they would land."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.events import EventBuilder, item_chunk, typed_reader
from nightrank.spark_jobs.sources.files import read
from nightrank.spark_jobs.sources.guess.profile import Sample, sample
from nightrank.spark_jobs.sources.guess.roles import EVENT_FIELDS, ITEM_FIELDS, Role, roles
from nightrank.spark_jobs.sources.guess.texts import mapping_text
from nightrank.spark_jobs.sources.mapping import FileMapping, Mapping
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import RawBatch

SHOWN: Final = 10


@dataclass(frozen=True)
class Guess:
    """`text` is the mapping as YAML with its reasons, `rows` the first rows as they would land, `detected` how to read it."""

    text: str
    section: str
    rows: list[dict[str, Any]]
    detected: dict[str, int]


def guess(path: Path) -> Guess:
    """Looks at the first rows of a file or folder. DataContractError where no column looks like an item or a user."""
    seen = sample(path)
    section, found = _section(path, seen)
    taken = {role.profile.name for role in found}
    unused = [profile.name for profile in seen.profiles if profile.name not in taken]
    text = mapping_text(section, found, seen.reading, unused, path.name)
    mapping = validate(Mapping, yaml.safe_load(text))
    return Guess(text, section, _landed(path, mapping), seen.notes.detected)


def _section(path: Path, seen: Sample) -> tuple[str, list[Role]]:
    events = roles(seen.profiles, EVENT_FIELDS)
    fields = {role.field for role in events}
    if {c.USER_ID, c.ITEM_ID} <= fields:
        return "events", events
    items = roles(seen.profiles, ITEM_FIELDS)
    if c.ITEM_ID in {role.field for role in items}:
        return "items", items
    names = ", ".join(profile.name for profile in seen.profiles) or "none"
    raise DataContractError(
        f"{path}: no column looks like an item id or a user id; its columns are {names}",
        "write the mapping by hand, starting from conf/mapping-example.yaml",
    )


def _landed(path: Path, mapping: Mapping) -> list[dict[str, Any]]:
    """The first rows as the import of this mapping lands them, without the fields that are empty in all of them."""
    notes = Notes(progress=lambda _: None)
    how: FileMapping | None = mapping.events or mapping.items
    assert how is not None, "a guess has events or items"
    wanted = [name for name in how.model_dump()["columns"].values() if isinstance(name, str)]
    batch = next(read(path, wanted, notes, how.reading()))
    few = replace(batch, table=batch.table.slice(0, SHOWN))
    rows: list[dict[str, Any]] = _chunk(few, mapping, notes).to_pylist()
    used = [name for name in (rows[0] if rows else {}) if any(row[name] is not None for row in rows)]
    return [{name: row[name] for name in used if name != c.FIELDS} for row in rows]


def _chunk(batch: RawBatch, mapping: Mapping, notes: Notes) -> Any:
    if mapping.events is not None:
        return EventBuilder(mapping.events, mapping.id_format(), notes).chunk(batch).table
    assert mapping.items is not None
    return item_chunk(batch, mapping.items, typed_reader("items", mapping.items, mapping.id_format(), notes)).table
