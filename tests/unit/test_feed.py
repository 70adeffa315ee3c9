"""The ventilator without a thread: what is asked of the pool, and when."""

import pytest

from nightrank.trainer.data.arrow_pool import Feed


def feed(count, ahead):
    sent = []
    return Feed(lambda place: sent.append(place), [{"place": place} for place in range(count)], ahead), sent


@pytest.mark.parametrize(("count", "ahead"), [(0, 4), (1, 4), (4, 4), (9, 4), (9, 1)])
def test_so_many_ahead_then_one_for_each_that_was_taken_in_order(count, ahead):
    given, sent = feed(count, ahead)
    assert sent == [], "nothing is asked before the pool has started"
    given.start()
    for taken in range(count):
        assert sent == list(range(min(ahead + taken, count)))
        given.processed_item()
    assert sent == list(range(count)) and given.completed()


def test_once_stopped_nothing_more_is_asked():
    given, sent = feed(9, 2)
    given.start()
    assert not given.completed()
    given.stop()
    given.processed_item()
    assert sent == [0, 1] and given.completed()
