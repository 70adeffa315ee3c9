"""A row's history: what had happened and was available before it, and nothing else. No JVM: the executor's own function."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from nightrank.spark_jobs.executor.past import history_adder, seen_by

MOMENT = st.integers(0, 12)
EVENTS = st.lists(st.tuples(MOMENT, st.integers(0, 6)), max_size=12)


@given(EVENTS, MOMENT)
def test_seen_is_what_happened_before_and_was_available_by_then(events, moment):
    """Availability is the event's time plus some delay; a late event is not seen until it is there."""
    happened = np.array(sorted(time for time, _ in events), np.int64)
    available = happened + np.array([delay for _, delay in events], np.int64)
    newest = np.maximum.accumulate(available) if len(available) else available
    wanted = [place for place, time in enumerate(happened) if time < moment and available[place] <= moment]
    assert seen_by(moment, happened, available, newest).tolist() == wanted


def batch_of(users):
    """`with_events` rows: users = (rows [(item, time)], events [(value, time, available)])."""
    row = pa.struct([("item", pa.int32()), ("event_time", pa.int64())])
    columns = {
        "rows": pa.array([[{"item": i, "event_time": t} for i, t in rows] for rows, _ in users], pa.list_(row)),
        "times": pa.array([[t for _, t, _ in events] for _, events in users], pa.list_(pa.int64())),
        "values": pa.array([[v for v, _, _ in events] for _, events in users], pa.list_(pa.string())),
        "available": pa.array([[a for _, _, a in events] for _, events in users], pa.list_(pa.int64())),
    }
    return pa.RecordBatch.from_pydict(columns)


def test_rows_come_out_one_by_one_with_the_newest_of_their_own_users_past():
    users = [
        ([(1, 5), (2, 9)], [("a", 1, 1), ("b", 2, 8), ("c", 5, 5), ("d", 6, 6)]),
        ([(3, 4)], []),
        ([(4, 9)], [("e", 9, 9), ("f", 9, 10)]),
    ]
    whole = batch_of(users)
    for batch in (whole, pa.concat_tables([pa.table(whole)] * 2).combine_chunks().to_batches()[0].slice(3, 3)):
        (found,) = history_adder(2)(iter([batch]))
        assert found.schema.names == ["item", "event_time", "history", "known"]
        # b is on its way until 8; an event at the row's own time (the click itself) is not before it.
        assert found.column("history").to_pylist() == [["a"], ["c", "d"], [], []]
        assert found.column("known").to_pylist() == [1, 4, 0, 0]
        assert found.column("item").to_pylist() == [1, 2, 3, 4]
