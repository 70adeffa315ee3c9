"""Histories as text: the words of a history's items one after the other, newest item first.

Shapes: I1 = items + 1, W words kept an item, B rows, L words of the longest history, T tokens (items) of all histories.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nightrank.ranker.batch import Batch
from nightrank.ranker.inputs import Tokens

Marks = tuple[int | None, int | None]


def opening_and_closing(tokens: Tokens) -> Marks:
    """The token that opens every text and the one that closes every text, None where they differ: [CLS] and [SEP] of a BERT."""
    with_text = tokens.offsets.diff() > 0
    firsts = tokens.flat[tokens.offsets[:-1][with_text]].unique()
    lasts = tokens.flat[tokens.offsets[1:][with_text] - 1].unique()
    return int(firsts[0]) if len(firsts) == 1 else None, int(lasts[0]) if len(lasts) == 1 else None


def words_of(tokens: Tokens, width: int, marks: Marks) -> Tensor:
    """[I1, W] int32: the first `width` tokens of each item without its marks, filled up with -1."""
    starts, lengths = tokens.offsets[:-1], tokens.offsets.diff()
    opened, closed = (int(mark is not None) for mark in marks)
    kept = (lengths - opened - closed).clamp(0, width)
    place_1W = torch.arange(width).unsqueeze(0)
    there = place_1W < kept.unsqueeze(1)
    index = (starts.unsqueeze(1) + opened + place_1W).masked_fill(~there, 0)
    flat = tokens.flat if len(tokens.flat) else tokens.flat.new_zeros(1)
    return flat[index].masked_fill(~there, -1)


@dataclass(frozen=True)
class Words:
    """[B, L] word ids, and which of them there are; each row begins with the opening mark."""

    ids_BL: Tensor
    mask_BL: Tensor

    @classmethod
    def of(cls, batch: Batch, words_IW: Tensor, marks_2: Tensor, most: int) -> "Words":
        """The histories of `batch`, at most `most` words of each, a closing mark after each item that has words."""
        newest_T = _newest_first(batch)
        words_TW = words_IW[batch.items_T[newest_T]].long()
        has_T = words_TW[:, 0] >= 0
        closing_T1 = torch.where(has_T, marks_2[1].long(), -1).unsqueeze(1)
        parted = torch.cat([words_TW, closing_T1], dim=1)
        flat, row = parted.flatten(), batch.row_T.repeat_interleave(parted.shape[1])
        there = flat >= 0
        flat, row = flat[there], row[there]
        starts_B = torch.searchsorted(row, torch.arange(batch.rows, device=row.device))
        place = torch.arange(len(row), device=row.device) - starts_B[row] + 1
        fits = place < most
        longest = int(place[fits].max()) + 1 if bool(fits.any()) else 1
        ids_BL = torch.zeros(batch.rows, longest, dtype=torch.int64, device=row.device)
        mask_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
        ids_BL[:, 0], mask_BL[:, 0] = marks_2[0].long(), True
        ids_BL[row[fits], place[fits]] = flat[fits]
        mask_BL[row[fits], place[fits]] = True
        return cls(ids_BL, mask_BL)


def _newest_first(batch: Batch) -> Tensor:
    """[T] index that turns every row round."""
    row_T = batch.row_T
    return batch.offsets_B1[:-1][row_T] + (batch.lengths[row_T] - 1 - batch.position_T)
