"""The ventilator without a thread: what is asked of the pool, and when."""

import pytest

from nightrank.trainer.data.arrow_pool import Feed


def feed(count, ahead):
    asked = []
    return Feed(lambda place: asked.append(place), [{"place": place} for place in range(count)], ahead), asked


@pytest.mark.parametrize(("count", "ahead"), [(0, 4), (1, 4), (4, 4), (9, 4), (9, 1)])
def test_so_many_ahead_then_one_for_each_that_was_taken_in_order(count, ahead):
    given, asked = feed(count, ahead)
    assert asked == [], "nothing is asked before the pool has started"
    given.start()
    for taken in range(count):
        assert asked == list(range(min(ahead + taken, count)))
        given.processed_item()
    assert asked == list(range(count)) and given.completed()


def test_once_stopped_nothing_more_is_asked():
    given, asked = feed(9, 2)
    given.start()
    assert not given.completed()
    given.stop()
    given.processed_item()
    assert asked == [0, 1] and given.completed()
