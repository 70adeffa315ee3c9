"""Sampled softmax with logQ correction.

Shapes: T targets, M negatives, d width.

With negatives j_1..j_M drawn from q with replacement and shared by all targets,
  Z_t = exp(u_t . v_y) + sum_m [j_m != y] exp(u_t . v_{j_m} - log(M q_{j_m}))
is an unbiased estimate of sum_i exp(u_t . v_i), and L = sum_t w_t (log Z_t - u_t . v_y). Dividing by M q is the importance
weight of Bengio & Senecal (2008) and the correction of Yi et al. (2019); accidental hits are masked, so the target is counted
once.
"""

import math

import torch
from torch import Tensor


def sampled_softmax(
    states_Td: Tensor,
    targets_T: Tensor,
    target_vectors_Td: Tensor,
    weights_T: Tensor,
    negatives_M: Tensor,
    negative_vectors_Md: Tensor,
    log_q_M: Tensor,
    bias_I: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(weighted sum of losses, sum of weights), fp32. Products follow autocast; sums are fp32.

    `bias_I` [I1], where given, is added to every item's logit.
    """
    positive_T = (states_Td.float() * target_vectors_Td.float()).sum(1)
    negative_TM = (states_Td @ negative_vectors_Md.T.to(states_Td.dtype)).float()
    offset_M = -(log_q_M + math.log(len(negatives_M)))
    if bias_I is not None:
        positive_T = positive_T + bias_I.index_select(0, targets_T)
        offset_M = offset_M + bias_I.index_select(0, negatives_M)
    negative_TM = negative_TM + offset_M
    negative_TM = negative_TM.masked_fill(targets_T.unsqueeze(1) == negatives_M, float("-inf"))
    log_total_T = torch.logaddexp(positive_T, torch.logsumexp(negative_TM, dim=1))
    weights_T = weights_T.float()
    return ((log_total_T - positive_T) * weights_T).sum(), weights_T.sum()
