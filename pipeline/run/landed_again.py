"""A date that is finished, and files that landed for it since. The identical files again are nothing new."""

from datetime import date
from typing import Final

from nightrank.feature_store.contracts.errors import SafetyRefusal
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.landing_files import day_of
from nightrank.feature_store.contracts.taken_in import other_files, taken_day
from nightrank.pipeline.run.request import RunRequest, finished, run_id_of

SHOWN: Final = 3
EVENTS: Final[tuple[LandingKind, ...]] = ("events",)
DESCRIBED: Final[tuple[LandingKind, ...]] = ("items", "users")


def check_same_files(request: RunRequest) -> None:
    """SafetyRefusal where other files of events stand on a finished date than were taken in. With `redo` they are taken in."""
    if request.redo:
        return
    first = next(other_files(request.lake, _finished_days(request), EVENTS), None)
    if first is not None:
        day = day_of(first)
        others = list(other_files(request.lake, [day], EVENTS))
        named = ", ".join(str(path) for path in others[:SHOWN])
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise SafetyRefusal(
            f"{day} is finished, and {named}{more} differs from what was taken in of it; nothing was done",
            _remedy(request, day),
        )


def described_since(request: RunRequest) -> list[str]:
    """A sentence where other files of items or users stand on the date of a finished run than were taken in."""
    others = list(other_files(request.lake, [request.day], DESCRIBED))
    if not others:
        return []
    named = ", ".join(path.name for path in others[:SHOWN])
    return [f"{named} landed since: the next date without a catalogue of its own takes it in, and --redo does now"]


def _finished_days(request: RunRequest) -> list[date]:
    """Days that the request would call finished, or that the run of another date has taken in and finished."""
    lake = request.lake
    if finished(lake.run_dir(run_id_of(request))):
        until = [day for day in lake.landing_days("events") if day <= request.day]
        return until if request.kind == "full" else [day for day in until if day == request.day]
    taken = taken_day(lake, request.day) if request.kind == "nightly" else None
    own = f"nightly-{request.day}"
    other = taken is not None and not taken.run_id.startswith(own) and finished(lake.run_dir(taken.run_id))
    return [request.day] if other else []


def _remedy(request: RunRequest, day: date) -> str:
    back = "put the files of then back (with them the date stays as it is), or "
    if day != request.day:
        return (
            f"{back}give `nightrank nightly --date {day} --redo`: what is new in them is taken in as a back-fill, and the next "
            "training learns it"
        )
    return (
        f"{back}give the same command with --redo: what is new in them is taken in and the date is run again, or where a newer "
        "date is current, taken in as a back-fill"
    )
