"""Landing days that a guard held back: one small file a day under `held/`. A held day is in no run until it is accepted."""

from datetime import date
from typing import Literal

from nightrank.feature_store.contracts.config import Day, FrozenConfig
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location


class Hold(FrozenConfig):
    """What was decided of one day. It is about these files: others that land in their place are judged again."""

    date: Day
    status: Literal["held", "accepted"]
    landing: str
    """The identity of the day's files."""
    reasons: tuple[str, ...]
    run_id: str
    """The run that held it."""


def hold_path(lake: Lake, day: date) -> Location:
    return lake.root / "held" / f"{day.isoformat()}.json"


def hold_of(lake: Lake, day: date) -> Hold | None:
    """What was decided of the day; None where nothing was."""
    path = hold_path(lake, day)
    return Hold.model_validate(read_json(path)) if path.exists() else None


def holds(lake: Lake) -> list[Hold]:
    """In order of their days."""
    return [Hold.model_validate(read_json(path)) for path in (lake.root / "held").glob("*.json")]


def held_days(lake: Lake) -> frozenset[date]:
    """The days that no run may take in."""
    return frozenset(hold.date for hold in holds(lake) if hold.status == "held")


def save_hold(lake: Lake, hold: Hold) -> None:
    """To be called inside a commit of the lake's lease: nobody else writes then. The same again changes nothing."""
    if hold_of(lake, hold.date) != hold:
        write_json(hold_path(lake, hold.date), hold.model_dump(mode="json"))


def remove_hold(lake: Lake, day: date) -> None:
    """Nothing is decided of the day afterwards. To be called inside a commit."""
    hold_path(lake, day).unlink()


def accept_hold(lake: Lake, day: date) -> Hold:
    """The day is accepted afterwards, also where it was before. To be called inside a commit.

    UsageError where no run has held it.
    """
    hold = hold_of(lake, day)
    if hold is None:
        raise not_held(lake, day)
    accepted = hold.model_copy(update={"status": "accepted"})
    save_hold(lake, accepted)
    return accepted


def not_held(lake: Lake, day: date) -> UsageError:
    days = ", ".join(sorted(str(one.date) for one in holds(lake) if one.status == "held")) or "none"
    return UsageError(f"{day} is not held on {lake.root}", f"held days are: {days}")
