"""Texts of any lengths in batches of bounded padding. Imports no torch."""

from collections.abc import Iterable, Iterator


def packed(lengths: Iterable[int], batch_tokens: int) -> Iterator[range]:
    """Consecutive runs of rows whose padded size, rows x longest, stays within `batch_tokens` (one row at least)."""
    start = end = longest = 0
    for end, length in enumerate(lengths):
        if end > start and max(longest, length) * (end - start + 1) > batch_tokens:
            yield range(start, end)
            start, longest = end, 0
        longest = max(longest, length)
    if longest:
        yield range(start, end + 1)
