"""Full softmax over the catalogue, never holding more than a chunk of logits.

Shapes: T targets, C targets of a chunk, I items, d width.

L = sum_t w_t * (log sum_i exp(u_t . v_i) - u_t . v_{y_t}), i over 1..items.
The gradient of a chunk, w_t (p_ti - [i = y_t]), is taken while its logits are still there, so nothing is computed twice and
nothing but two gradients of the inputs' own size is kept (the idea of fused linear cross entropy, Hsu et al. 2024).
"""

from typing import Any, Final

import torch
from torch import Tensor

from nightrank.ranker.blocks.one_dnn import times_transposed

LEAST_ROWS: Final = 64
"""Targets of a chunk, however large the table."""


def full_softmax(
    states_Td: Tensor,
    targets_T: Tensor,
    table_Id: Tensor,
    weights_T: Tensor,
    chunk_elements: int = 4_000_000,
    bias_I: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(weighted sum of losses, sum of weights), fp32. Row 0 of the table is padding and takes no probability.

    `bias_I` [I], where given, is added to every item's logit.
    Products run in bf16 under autocast or on bf16 inputs, sums in fp32.
    """
    loss: Tensor = _FullSoftmax.apply(states_Td, table_Id, targets_T, weights_T.float(), bias_I, chunk_elements)  # type: ignore[no-untyped-call]
    return loss, weights_T.float().sum()


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states_Td: Tensor,
        table_Id: Tensor,
        targets_T: Tensor,
        weights_T: Tensor,
        bias_I: Tensor | None,
        chunk_elements: int,
    ) -> Tensor:
        device = states_Td.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states_Td.dtype
        states, table = states_Td.to(kind), table_Id.to(kind)
        want = any(ctx.needs_input_grad)
        grad_states = torch.empty_like(states) if want else None
        grad_table_dI = table.new_zeros(table.shape[::-1], dtype=torch.float32) if want else None
        grad_bias = table.new_zeros(table.shape[0], dtype=torch.float32) if ctx.needs_input_grad[4] else None
        total = states.new_zeros((), dtype=torch.float32)
        rows = max(LEAST_ROWS, chunk_elements // max(1, table.shape[0]))
        with torch.autocast(device, enabled=False):
            for start in range(0, states.shape[0], rows):
                part = slice(start, start + rows)
                logits_CI = times_transposed(states[part], table)
                losses_C = _residual_(logits_CI, targets_T[part], weights_T[part], bias_I, want)
                total += (losses_C * weights_T[part]).sum()
                if grad_states is not None and grad_table_dI is not None:
                    grad_states[part] = times_transposed(logits_CI, table.T)
                    # Of the two ways round the quicker one by a fifth.
                    grad_table_dI += times_transposed(states[part].T.contiguous(), logits_CI.T)
                if grad_bias is not None:
                    grad_bias += logits_CI.sum(dim=0, dtype=torch.float32)
        ctx.save_for_backward(grad_states, grad_table_dI, grad_bias)
        ctx.kinds = (states_Td.dtype, table_Id.dtype)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, Tensor | None, None]:
        grad_states, grad_table_dI, grad_bias = ctx.saved_tensors
        states_kind, table_kind = ctx.kinds
        of_bias = None if grad_bias is None else grad_bias * grad
        of_table = (grad_table_dI * grad).T.contiguous().to(table_kind)
        return (grad_states * grad).to(states_kind), of_table, None, None, of_bias, None


def _residual_(
    logits_CI: Tensor, targets_C: Tensor, weights_C: Tensor, bias_I: Tensor | None, want: bool, block_elements: int = 400_000
) -> Tensor:
    """Losses [C] fp32; where gradients are needed, w (p - onehot) replaces the logits afterwards.

    A few rows at a time, so that the fp32 of a row is read from the cache by the passes over it.
    """
    losses_C = logits_CI.new_empty(len(targets_C), dtype=torch.float32)
    rows = max(1, block_elements // logits_CI.shape[1])
    for start in range(0, len(targets_C), rows):
        part = slice(start, start + rows)
        logits_RI, target_R1, weight_R1 = logits_CI[part].float(), targets_C[part].unsqueeze(1), weights_C[part].unsqueeze(1)
        if bias_I is not None:
            logits_RI = logits_RI + bias_I
        logits_RI[:, 0] = float("-inf")
        share_RI = torch.softmax(logits_RI, dim=1)
        # The largest share is exp(0) / sum.
        log_sum_R = logits_RI.amax(dim=1) - share_RI.amax(dim=1).log()
        losses_C[part] = log_sum_R - logits_RI.gather(1, target_R1).squeeze(1)
        if want:
            share_RI.mul_(weight_R1).scatter_add_(1, target_R1, -weight_R1)
            logits_CI[part] = share_RI
    return losses_C
