"""Which landing files the tables hold: `LAKE/taken_in/YYYY-MM.json`, written when their rows are in.

A file that lands again with the same content, under whichever name, is one that was taken in. Another file for a date that is
finished is told by it. A file that was taken away is no other file.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.files import read_json, sha256_at, write_json
from nightrank.feature_store.contracts.lake import LANDING_KINDS, Lake, LandingKind
from nightrank.feature_store.contracts.landing_files import landing_entries
from nightrank.feature_store.contracts.storage import Entry, Location

FOLDER: Final = "taken_in"


class TakenFile(FrozenConfig):
    path: str
    """Below the lake."""
    bytes: int
    tag: str
    sha256: str
    """Empty in a bucket, whose tag is a mark of the content."""

    @property
    def content(self) -> tuple[int, str]:
        return self.bytes, self.sha256 or self.tag


class TakenDay(FrozenConfig):
    run_id: str
    """The run that took the day in last."""
    files: tuple[TakenFile, ...]
    """Also those of earlier runs that other files have replaced since: their rows are still there."""


def taken_day(lake: Lake, day: date) -> TakenDay | None:
    """What was taken in of the day; None where no run has, or none of a release that wrote it down."""
    return taken_days(lake, [day]).get(day)


def taken_days(lake: Lake, days: Iterable[date]) -> dict[date, TakenDay]:
    """The same of those days that were taken in. Each month is read once."""
    wanted = list(days)
    months = {month: _month(lake, date(*month, 1)) for month in sorted({(day.year, day.month) for day in wanted})}
    found = {day: months[day.year, day.month].get(day.isoformat()) for day in wanted}
    return {day: taken for day, taken in found.items() if taken is not None}


def remember(lake: Lake, run_id: str, found: Mapping[date, Iterable[tuple[Location, Entry]]]) -> None:
    """The files of these days are taken in; the same again writes nothing. To be called inside a commit of the run."""
    for month in sorted({(day.year, day.month) for day in found}):
        days = {day: pairs for day, pairs in found.items() if (day.year, day.month) == month}
        before = _month(lake, min(days))
        kept = dict(before)
        for day, pairs in days.items():
            known = kept.get(day.isoformat())
            earlier = known.files if known else ()
            now = tuple(_seen(lake, pair, earlier) or _read(lake, pair) for pair in pairs)
            replaced = tuple(file for file in earlier if file.content not in {each.content for each in now})
            kept[day.isoformat()] = TakenDay(run_id=run_id, files=(*now, *replaced))
        if kept != before:
            body = {name: taken.model_dump(mode="json") for name, taken in kept.items()}
            write_json(_place(lake, min(days)), body)


def other_files(lake: Lake, days: Iterable[date], kinds: Iterable[LandingKind] = LANDING_KINDS) -> Iterator[Location]:
    """The days' landing files whose content was not taken in; none of a day that nothing is known of."""
    for day, taken in taken_days(lake, days).items():
        contents = {file.content for file in taken.files}
        for pair in (pair for kind in kinds for pair in landing_entries(lake, kind, [day])):
            if _seen(lake, pair, taken.files) is None and _read(lake, pair).content not in contents:
                yield pair[0]


def correct(lake: Lake, day: date) -> None:
    """The files that stand there now count as taken in: an erasure wrote them again. To be called inside a commit."""
    taken = taken_day(lake, day)
    if taken is not None:
        here = [pair for kind in LANDING_KINDS for pair in landing_entries(lake, kind, [day])]
        known = {file.path for file in taken.files}
        remember(lake, taken.run_id, {day: [pair for pair in here if pair[0].below(lake.root) in known]})


def _seen(lake: Lake, pair: tuple[Location, Entry], files: Iterable[TakenFile]) -> TakenFile | None:
    """The file as it was taken in, where the storage says that it is still the same."""
    path, entry = pair
    name = path.below(lake.root)
    return next((file for file in files if (file.path, file.bytes, file.tag) == (name, entry.size, entry.tag)), None)


def _read(lake: Lake, pair: tuple[Location, Entry]) -> TakenFile:
    path, entry = pair
    content = sha256_at(path) if path.is_local and path.is_file() else ""
    return TakenFile(path=path.below(lake.root), bytes=entry.size, tag=entry.tag, sha256=content)


def _month(lake: Lake, day: date) -> dict[str, TakenDay]:
    place = _place(lake, day)
    return {name: TakenDay.model_validate(body) for name, body in read_json(place).items()} if place.exists() else {}


def _place(lake: Lake, day: date) -> Location:
    return lake.root / FOLDER / f"{day:%Y-%m}.json"
