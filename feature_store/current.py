"""What is current, and that it never goes back in time by a run: an older date is taken in and changes no list."""

from datetime import date

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.found import Found, last_full
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_days import brings_no_event
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import LIST_RULES


def current_date(lake: Lake) -> date | None:
    """The newer of the current release's date and the champion's; None where nothing is live yet."""
    return _newest(delta_read.latest_release(lake), lake.champion())


def _newest(*made: Release | ModelRef | None) -> date | None:
    return max((date.fromisoformat(each.date) for each in made if each is not None), default=None)


def newer_date(lake: Lake, day: date) -> date | None:
    """The date of what is current, where that is later than `day`."""
    current = current_date(lake)
    return current if current is not None and day < current else None


def found_now(lake: Lake, run_id: str, kind: str, day: date) -> Found:
    """What a run that is opened now finds."""
    current, champion = current_date(lake), lake.champion()
    newer = current is not None and day < current
    # A run that was cut off after its release and is opened again: its own events are still to be learnt.
    before = _newest(champion, *[made for made in delta_read.releases(lake) if made.run_id != run_id][-1:])
    grows = kind == "nightly" and champion is not None and not newer
    return Found(
        champion=champion,
        last_full=last_full(lake, run_id, day),
        list_rules=delta_read.table_version(lake, LIST_RULES.name),
        newer=current.isoformat() if current is not None and newer else None,
        without_events=grows and brings_no_event(lake, day, before),
    )


def refuse_older(context: StageContext) -> None:
    """ConflictError where the run is of an older date than what is current: its model and its lists do not go live."""
    current = newer_date(context.lake, context.day)
    if current is not None:
        raise ConflictError(
            f"run {context.run_id} is for {context.day}, and the current model or lists are newer ({current})",
            f"nothing went live; `nightrank {context.kind}` for that date only reads its data, and only "
            "`nightrank rollback` goes back in time",
        )
