"""`nightrank nightly --accept DATE` and `nightrank run open --accept`: which night takes the day in."""

from datetime import date
from typing import TYPE_CHECKING

from nightrank.feature_store.contracts.errors import NothingToDo
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location

if TYPE_CHECKING:
    from nightrank.pipeline.run.request import RunRequest


def accepted_first(root: Location, held: date, when: date | None, as_json: bool, dry_run: bool) -> date | None:
    """The day is accepted afterwards, except with `dry_run`. Returns the night to run now: `when`, or that of the day itself.

    None, and the answer is given, where a newer date is current: the next night folds the day in. UsageError where no run has
    held the day.
    """
    from nightrank.feature_store.current import newer_date
    from nightrank.pipeline.accept import accept, check_held
    from nightrank.pipeline.output import err, out, print_json

    lake = Lake(root)
    if dry_run:
        check_held(lake, held)
    else:
        accept(lake, held)
    message = f"{held} {'would be' if dry_run else 'is'} accepted"
    if when is not None or newer_date(lake, held) is None:
        err(message)
        return when or held
    words = f"{message}; a newer date is current, so the next night folds it in"
    if as_json:
        print_json({"status": "planned" if dry_run else "accepted", "date": held.isoformat(), "exit_code": 0, "note": words})
    else:
        out(words)
    return None


def accept_date_of(request: "RunRequest") -> None:
    """The run's own date is accepted afterwards; nothing happens where the run has ended. UsageError where no run has held it.

    NothingToDo where a newer date is current: the next night folds the day in, and a run of its own would change no list.
    """
    from nightrank.pipeline.accept import accept
    from nightrank.pipeline.run.request import finished, newer_than, run_id_of

    if finished(request.lake.run_dir(run_id_of(request))):
        return
    accept(request.lake, request.day)
    if request.kind == "nightly" and (current := newer_than(request)):
        raise NothingToDo(f"{request.day} is accepted", f"a newer date is current ({current}), so the next night folds it in")
