"""Every weight of a ranker from one generator, in the fixed order of its parameters."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import nn

from nightrank.ranker.blocks.side_inputs import SideInputs
from nightrank.ranker.tables.row_table import RowTable

STD = 0.02
PIECE: Final = 1 << 16
"""Rows that are drawn at once."""
Scheme = str


def init_weights(model: nn.Module, generator: torch.Generator, scheme: Scheme) -> None:
    """Norms 1 and 0, biases and side inputs 0; recurrent cells U(-1/sqrt(h), 1/sqrt(h)) as they are published; all else
    N(0, 0.02), or, with `xavier`, matrices and tables N(0, 2 / (rows + columns))."""
    norms = {id(module.weight) for module in model.modules() if isinstance(module, nn.LayerNorm)}
    cells = {
        id(parameter): module.hidden_size
        for module in model.modules()
        if isinstance(module, nn.RNNBase)
        for parameter in module.parameters()
    }
    tables = {id(module.weight): module for module in model.modules() if isinstance(module, RowTable)}
    side = {id(weight) for module in model.modules() if isinstance(module, SideInputs) for weight in module.parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if id(parameter) in side:
                parameter.zero_()
            elif id(parameter) in norms:
                parameter.fill_(1.0)
            elif name.endswith("bias"):
                parameter.zero_()
            elif id(parameter) in cells:
                reach = 1 / math.sqrt(cells[id(parameter)])
                parameter.copy_(torch.empty(parameter.shape).uniform_(-reach, reach, generator=generator))
            elif id(parameter) in tables:
                _draw_rows(tables[id(parameter)], generator, scheme)
            else:
                parameter.copy_(torch.empty(parameter.shape).normal_(0.0, _std(parameter.shape, scheme), generator=generator))


def _draw_rows(table: RowTable, generator: torch.Generator, scheme: Scheme) -> None:
    """The held rows of what would be drawn for the whole table, which is never held."""
    rows = table.rows
    std = _std((rows.total, table.width), scheme)
    for first, last in pieces(rows.total, table.width, PIECE):
        drawn = torch.empty(last - first, table.width).normal_(0.0, std, generator=generator)
        start, stop = rows.between(first, last)
        table.weight[start:stop] = drawn[rows.rank + start * rows.ranks - first :: rows.ranks]


def pieces(rows: int, width: int, most: int) -> list[tuple[int, int]]:
    """Rows [first, last) of each piece: torch draws normal numbers 16 at a time, so that in pieces of a multiple of 16 rows the
    numbers are those of one draw. The last piece is longer rather than of less than 16 numbers."""
    edges = [*range(0, rows, most), rows]
    if len(edges) > 2 and (edges[-1] - edges[-2]) * width < 16:
        del edges[-2]
    return list(pairwise(edges))


def _std(shape: Sequence[int], scheme: Scheme) -> float:
    if scheme == "normal" or len(shape) < 2:
        return STD
    return math.sqrt(2 / (shape[0] + shape[1]))
