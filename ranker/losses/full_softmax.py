"""Full softmax over the catalogue, never holding more than a chunk of logits.

Shapes: T targets, C targets of a chunk, I items, d width.

L = sum_t w_t * (log sum_i exp(u_t . v_i) - u_t . v_{y_t}), i over 1..items.
The gradient of a chunk, w_t (p_ti - [i = y_t]), is taken while its logits are still there, so nothing is computed twice and
nothing but two gradients of the inputs' own size is kept (the idea of fused linear cross entropy, Hsu et al. 2024).
"""

from typing import Any

import torch
from torch import Tensor


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
    loss: Tensor = _FullSoftmax.apply(states_Td, table_Id, targets_T, weights_T.float(), bias_I, chunk_elements)
    return loss, weights_T.float().sum()


class _FullSoftmax(torch.autograd.Function):  # type: ignore[misc]
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
        grad_table = torch.zeros(table.shape, dtype=torch.float32, device=table.device) if want else None
        grad_bias = torch.zeros(table.shape[0], dtype=torch.float32, device=table.device) if ctx.needs_input_grad[4] else None
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        rows = max(64, chunk_elements // max(1, table.shape[0]))
        with torch.autocast(device, enabled=False):
            for start in range(0, states.shape[0], rows):
                part = slice(start, start + rows)
                residual_CI, losses_C = _chunk(states[part], table, targets_T[part], weights_T[part], bias_I, want)
                total += (losses_C * weights_T[part]).sum()
                if grad_states is not None and grad_table is not None:
                    torch.mm(residual_CI, table, out=grad_states[part])
                    grad_table += residual_CI.T @ states[part]
                if grad_bias is not None:
                    grad_bias += residual_CI.sum(dim=0, dtype=torch.float32)
        ctx.save_for_backward(grad_states, grad_table, grad_bias)
        ctx.kinds = (states_Td.dtype, table_Id.dtype)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, Tensor | None, None]:
        grad_states, grad_table, grad_bias = ctx.saved_tensors
        states_kind, table_kind = ctx.kinds
        of_bias = None if grad_bias is None else grad_bias * grad
        return (grad_states * grad).to(states_kind), (grad_table * grad).to(table_kind), None, None, of_bias, None


def _chunk(
    states_Cd: Tensor, table_Id: Tensor, targets_C: Tensor, weights_C: Tensor, bias_I: Tensor | None, want: bool
) -> tuple[Tensor, Tensor]:
    """(w (p - onehot) [C, I] in the table's type, losses [C] fp32)."""
    logits_CI = (states_Cd @ table_Id.T).float()
    if bias_I is not None:
        logits_CI += bias_I
    logits_CI[:, 0] = float("-inf")
    target_C1 = logits_CI.gather(1, targets_C.unsqueeze(1))
    largest_C1 = logits_CI.amax(dim=1, keepdim=True)
    share_CI = logits_CI.sub_(largest_C1).exp_()
    total_C1 = share_CI.sum(dim=1, keepdim=True)
    losses_C = (total_C1.log() + largest_C1 - target_C1).squeeze(1)
    if not want:
        return share_CI, losses_C
    residual_CI = share_CI.mul_(weights_C.unsqueeze(1) / total_C1)
    residual_CI.scatter_add_(1, targets_C.unsqueeze(1), -weights_C.unsqueeze(1))
    return residual_CI.to(table_Id.dtype), losses_C
