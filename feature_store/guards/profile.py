"""What a landing day looks like: counts over bins, read once, batch by batch, by Arrow."""

import zlib
from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.guards.tally import Tally

READ: Final = [c.USER_ID, c.ITEM_ID, c.ACTION, c.EVENT_TIME, c.VALUE]
HOURS: Final = 3
"""Hours of a bin of the clock."""
HEAD: Final = 1000
"""Most frequent items that are kept by name."""
PAIR_ROWS: Final = 2_000_000
"""About how many events are looked at for pairs: of a larger day, those of a share of its users."""
EVERY: Final = "every action"


class Profile(FrozenConfig):
    """Counts of one day's events. Inner keys are bins."""

    landing: str
    """The identity of the files it was made from."""
    events: int
    dates: dict[str, int]
    """`before`, `on` and `after` the landing day, by the time of the event."""
    actions: dict[str, int]
    clock: dict[str, dict[str, int]]
    """Bins of the local hour, by action and for every action together."""
    values: dict[str, dict[str, int]]
    """Powers of two of `value`, `none`, `zero`, `negative`, `no number`; by action as above."""
    activity: dict[str, int]
    """Users by how many events they have, in powers of two."""
    largest_user: int
    """Events of the user that has most."""
    pairs: dict[str, tuple[int, int]]
    """By action: events that were looked at, and those of them whose user has another event on the same item that day."""
    head: dict[str, int]
    """The `HEAD` most frequent items."""
    catalogue: int
    """Items of the complete exports that landed that day; 0 where none did."""


def profile_of(
    batches: Iterable[pa.RecordBatch], *, rows: int, day: date, timezone: str, landing: str = "", catalogue: int = 0
) -> Profile:
    """One pass over the day's events. Held in memory: one row a distinct user, a distinct item and a pair of the sample."""
    every = max(1, -(-rows // PAIR_ROWS))
    dates, clock, values = Counter[str](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    users, items, pairs = Tally(c.USER_ID), Tally(c.ITEM_ID), Tally(c.USER_ID, c.ITEM_ID, c.ACTION)
    events = 0
    for batch in batches:
        table = pa.Table.from_batches([batch])
        events += len(table)
        action = pc.fill_null(table.column(c.ACTION), "none").to_pylist()
        local = table.column(c.EVENT_TIME).cast(pa.timestamp("us", timezone))
        dates.update(_dates(local, day))
        clock.update(zip(action, _hours(local), strict=True))
        values.update(zip(action, _value_bins(table.column(c.VALUE)), strict=True))
        users.add(table)
        items.add(table)
        pairs.add(_sampled(table, every))
    return Profile(
        landing=landing,
        events=events,
        dates=dict(dates),
        actions=_total_by_action(clock),
        clock=_by_action(clock),
        values=_by_action(values),
        activity=_activity(users),
        largest_user=max(users.top(1).values(), default=0),
        pairs=_pairs(pairs),
        head=items.top(HEAD),
        catalogue=catalogue,
    )


def power_of(number: float) -> str:
    return f"2^{int(np.floor(np.log2(number)))}"


def _dates(local: pa.ChunkedArray, day: date) -> dict[str, int]:
    days = pc.local_timestamp(local).cast(pa.date32(), safe=False)
    known = pa.scalar(day, pa.date32())
    named = {"before": pc.less(days, known), "on": pc.equal(days, known), "after": pc.greater(days, known)}
    return {name: int(pc.sum(found).as_py() or 0) for name, found in named.items()}


def _hours(local: pa.ChunkedArray) -> list[str]:
    return [f"{hour // HOURS * HOURS:02d}" if hour is not None else "none" for hour in pc.hour(local).to_pylist()]


def _value_bins(column: pa.ChunkedArray) -> list[str]:
    numbers: npt.NDArray[np.float64] = column.to_numpy()
    null = column.is_null().to_numpy()
    names = np.full(len(numbers), "no number", dtype=object)
    names[numbers < 0] = "negative"
    names[numbers == 0] = "zero"
    positive = np.isfinite(numbers) & (numbers > 0)
    names[positive] = [power_of(number) for number in numbers[positive]]
    names[null] = "none"
    found: list[str] = names.tolist()
    return found


def _sampled(table: pa.Table, every: int) -> pa.Table:
    """The rows of one user in `every`, by the hash of the id: with a user come all of its rows."""
    if every == 1:
        return table
    known = pc.unique(table.column(c.USER_ID).drop_null())
    kept = [user for user in known.to_pylist() if zlib.crc32(user.encode()) % every == 0]
    return table.filter(pc.is_in(table.column(c.USER_ID), value_set=pa.array(kept, pa.string())))


def _by_action(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {EVERY: {}}
    for (action, name), n in sorted(counts.items()):
        found.setdefault(action, {})[name] = n
        found[EVERY][name] = found[EVERY].get(name, 0) + n
    return found


def _total_by_action(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    totals = Counter[str]()
    for (action, _), n in counts.items():
        totals[action] += n
    return dict(sorted(totals.items()))


def _activity(users: Tally) -> dict[str, int]:
    table = users.table()
    if table is None:
        return {}
    return dict(sorted(Counter(power_of(n) for n in table.column("n").to_pylist()).items()))


def _pairs(pairs: Tally) -> dict[str, tuple[int, int]]:
    table = pairs.table()
    if table is None:
        return {}
    keys = [c.USER_ID, c.ITEM_ID]
    whole = table.group_by(keys).aggregate([("n", "sum")])
    joined = table.join(whole, keys)
    again = pc.if_else(pc.greater(joined.column("n_sum"), 1), joined.column("n"), 0)
    found = joined.append_column("again", again).group_by([c.ACTION]).aggregate([("n", "sum"), ("again", "sum")])
    rows = zip(*(found.column(name).to_pylist() for name in (c.ACTION, "n_sum", "again_sum")), strict=True)
    return {action: (looked, twice) for action, looked, twice in sorted(rows)}
