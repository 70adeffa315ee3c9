"""Packing of texts into batches: every row once, in order, within the budget."""

from hypothesis import given
from hypothesis import strategies as st

from nightrank.ranker.text.packing import packed


@given(st.lists(st.integers(1, 128), max_size=200), st.integers(1, 512))
def test_batches_cover_the_rows_in_order_within_the_budget(lengths, budget):
    batches = list(packed(lengths, budget))
    assert [row for batch in batches for row in batch] == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= budget


def test_a_batch_is_as_long_as_it_can_be():
    assert [list(batch) for batch in packed([2, 2, 4, 4, 9], 8)] == [[0, 1], [2, 3], [4]]
