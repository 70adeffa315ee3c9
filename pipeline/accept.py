"""`nightrank nightly --accept DATE`: a day that a guard held back is taken in by the next night."""

from datetime import UTC, date, datetime

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.holds import Hold, accept_hold, hold_of, not_held
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lease import held


def check_held(lake: Lake, day: date) -> Hold:
    """What was decided of the day. UsageError where no run has held it."""
    found = hold_of(lake, day)
    if found is None:
        raise not_held(lake, day)
    return found


def accept(lake: Lake, day: date) -> Hold:
    """The day is accepted afterwards; done twice it changes nothing. UsageError where no run has held it, ConflictError
    while a run works on the lake."""
    found = hold_of(lake, day)
    if found is not None and found.status == "accepted":
        return found
    if not lake.landing_meta_path.exists():
        raise UsageError(f"no landing data under {lake.root}", "check --root")
    with held(lake, f"accept-{datetime.now(UTC):%Y-%m-%dT%H%M%S}") as lease, lease.commit():
        return accept_hold(lake, day)
