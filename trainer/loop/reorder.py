"""Histories whose neighbouring events change places at random, for training only.

A clock of whole days, a basket, two tabs of a browser: the order of near neighbours is often arbitrary. A ranker that has
seen both orders does not overfit to one of them. A local form of the reordering of CL4SRec (Xie et al. 2022, section
3.2.3), which shuffles a whole stretch.
"""

from dataclasses import replace

import torch

from nightrank.ranker.batch import Batch


def reordered(batch: Batch, places: float) -> Batch:
    """The same rows, each event having moved by less than `places` places; with `places` up to 1 none moves.

    Event p of a row is sorted by p + places * u, u uniform in [0, 1) from torch's generator. An event takes its action along
    and leaves its time, so that times still ascend. Where a row's loss begins later than at its second event, what is asked for
    and what is given stay what they were: no event crosses `loss_from`.
    """
    if places <= 1 or batch.tokens == 0:
        return batch
    position_T, row_T = batch.position_T, batch.row_T
    loss_from_T = batch.loss_from_B[row_T]
    later_T = (loss_from_T > 1) & (position_T >= loss_from_T)
    moved_T = position_T + places * torch.rand(batch.tokens, dtype=torch.float64, device=batch.items_T.device)
    # Rows and the two sides of a row lie further apart than an event moves.
    apart = float(batch.lengths.max()) + places + 1
    order_T = torch.argsort((2 * row_T + later_T) * apart + moved_T)
    of_items = batch.item_inputs_TF
    return replace(
        batch,
        items_T=batch.items_T[order_T],
        actions_T=batch.actions_T[order_T],
        item_inputs_TF=None if of_items is None else of_items[order_T],
    )
