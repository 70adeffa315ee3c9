"""How far a ranker's scores are from those of a teacher: Kullback-Leibler divergence at a temperature.

Shapes: R targets, C targets of a chunk, M negatives, K = known items + 1, d width.

KL = t^2 sum_i p_i (log p_i - log q_i), p and q the softmax of the teacher's and the ranker's scores / t over the same
candidates. Its gradient is that of the cross entropy of Hinton et al. (2015, section 2), which differs by p's entropy; t^2
keeps gradients of one size at any temperature.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nightrank.ranker.blocks.one_dnn import times_transposed
from nightrank.ranker.losses.full_softmax import LEAST_ROWS
from nightrank.ranker.losses.sampled import Scores, corrected


@dataclass(frozen=True)
class Side:
    """One ranker's states and items, over which all scores are products; `bias_I` is added to them."""

    states_Rd: Tensor
    table_Id: Tensor
    bias_I: Tensor | None = None


def sampled_divergence(ranker: Scores, teacher: Scores, known_M: Tensor, temperature: float) -> Tensor:
    """[R] over the target and the negatives that the teacher knows.

    Scores of negatives are corrected by log(M q) as in `sampled_softmax`, so that both sums over candidates estimate those over
    the catalogue.
    """
    own_RC, taught_RC = (_candidates(scores, known_M, temperature) for scores in (ranker, teacher))
    log_own_RC, log_taught_RC = own_RC.log_softmax(1), taught_RC.log_softmax(1)
    share_RC = log_taught_RC.exp()
    apart_RC = (log_taught_RC - log_own_RC).masked_fill(share_RC == 0, 0.0)
    return temperature**2 * (share_RC * apart_RC).sum(1)


def _candidates(scores: Scores, known_M: Tensor, temperature: float) -> Tensor:
    negative_RM = corrected(scores.negative_SM / temperature, scores.log_q_M).masked_fill(~known_M, float("-inf"))
    return torch.cat([scores.positive_S.unsqueeze(1) / temperature, negative_RM], dim=1)


def full_divergence(
    ranker: Side, teacher: Side, weights_R: Tensor, items: int, temperature: float, chunk_elements: int = 4_000_000
) -> Tensor:
    """Weighted sum over items 1..items, fp32, never holding more than a chunk of scores. Only the ranker has a gradient."""
    result: Tensor = _FullDivergence.apply(  # type: ignore[no-untyped-call]
        ranker.states_Rd, ranker.table_Id, ranker.bias_I, teacher, weights_R.float(), items + 1, temperature, chunk_elements
    )
    return result


class _FullDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states_Rd: Tensor,
        table_Id: Tensor,
        bias_I: Tensor | None,
        teacher: Side,
        weights_R: Tensor,
        known: int,
        temperature: float,
        chunk_elements: int,
    ) -> Tensor:
        device = states_Rd.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states_Rd.dtype
        own = Side(states_Rd.to(kind), table_Id[:known].to(kind), bias_I)
        taught = Side(teacher.states_Rd.to(kind), teacher.table_Id[:known].to(kind), teacher.bias_I)
        grad_states, grad_table = torch.empty_like(own.states_Rd), torch.zeros_like(table_Id, dtype=torch.float32)
        grad_bias = None if bias_I is None else torch.zeros_like(bias_I, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=states_Rd.device)
        rows = max(LEAST_ROWS, chunk_elements // max(1, known))
        table_dK = own.table_Id.T.contiguous()
        with torch.autocast(device, enabled=False):
            for start in range(0, len(states_Rd), rows):
                part = slice(start, start + rows)
                log_own_CK, log_taught_CK = (_log_shares(side, part, temperature) for side in (own, taught))
                share_CK, weight_C1 = log_taught_CK.exp(), weights_R[part].unsqueeze(1)
                total += (weight_C1 * share_CK * (log_taught_CK - log_own_CK)).sum() * temperature**2
                grad_CK = temperature * weight_C1 * (log_own_CK.exp() - share_CK)
                grad_states[part] = times_transposed(grad_CK.to(kind), table_dK)
                grad_table[1:known] += times_transposed(grad_CK.T.to(kind).contiguous(), own.states_Rd[part].T.contiguous())[1:]
                if grad_bias is not None:
                    grad_bias[1:known] += grad_CK.sum(0)[1:]
        ctx.save_for_backward(grad_states, grad_table, grad_bias)
        ctx.kinds = (states_Rd.dtype, table_Id.dtype)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_states, grad_table, grad_bias = ctx.saved_tensors
        states_kind, table_kind = ctx.kinds
        of_bias = None if grad_bias is None else grad_bias * grad
        of_inputs = (grad_states * grad).to(states_kind), (grad_table * grad).to(table_kind)
        return (*of_inputs, of_bias, None, None, None, None, None)


def _log_shares(side: Side, part: slice, temperature: float) -> Tensor:
    """[C, K] fp32 log probabilities; of the padding row a number so low that its probability is 0."""
    logits_CK = times_transposed(side.states_Rd[part], side.table_Id).float()
    if side.bias_I is not None:
        logits_CK = logits_CK + side.bias_I[: logits_CK.shape[1]]
    logits_CK = logits_CK / temperature
    logits_CK[:, 0] = torch.finfo(torch.float32).min / 4
    return logits_CK.log_softmax(1)
