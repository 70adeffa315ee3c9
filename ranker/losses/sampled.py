"""Losses over one positive and M negatives a target.

Shapes: S targets, M negatives.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Scores:
    """Logits of a step, fp32, an item bias included."""

    positive_S: Tensor
    negative_SM: Tensor
    """-inf where the negative is the target itself (an accidental hit)."""
    log_q_M: Tensor | None = None
    """log of the probability that one draw gives the negative; None where negatives are not a sample of the catalogue."""
    log_q_S: Tensor | None = None
    """The same of the targets' own items."""


def sampled_softmax(scores: Scores) -> Tensor:
    """[S] losses, with logQ correction.

    With negatives j_1..j_M drawn from q with replacement and shared by all targets,
      Z_t = exp(s_ty) + sum_m [j_m != y] exp(s_tm - log(M q_{j_m}))
    is an unbiased estimate of sum_i exp(s_ti), and the loss is log Z_t - s_ty. Dividing by M q is the importance weight of
    Bengio & Senecal (2008) and the correction of Yi et al. (2019).
    """
    negative_SM = corrected(scores.negative_SM, scores.log_q_M)
    log_total_S = torch.logaddexp(scores.positive_S, torch.logsumexp(negative_SM, dim=1))
    return log_total_S - scores.positive_S


def corrected(negative_SM: Tensor, log_q_M: Tensor | None) -> Tensor:
    """Logits less log(M q): the sum of their exp estimates that over the catalogue. As they are where q is None."""
    return negative_SM if log_q_M is None else negative_SM - (log_q_M + math.log(negative_SM.shape[1]))


def gbce(scores: Scores, items: int, t: float) -> Tensor:
    """[S]: binary cross entropy whose positive is raised to the power beta = 1 - t (1 - alpha), alpha = M / (items - 1), so
    that scores are calibrated although few negatives are seen (Petrov & Macdonald 2023, equations 14 and 21). t = 0 is BCE.

    Logits are s + log(beta / (M items q)): the odds with which an item that s = 0 says nothing of is the target and not one of
    the M draws. So s is log(items P) whatever q is (noise contrastive estimation, Gutmann & Hyvarinen 2010), and a ranker
    that knows nothing stands where a classifier of rare classes should start (Lin et al. 2017, section 3.3): without that the
    first steps push all items away from all users along one direction, and nothing is learnt. Where q is not known
    it is taken as uniform.
    """
    negatives = scores.negative_SM.shape[1]
    beta = 1 - t * (1 - min(1.0, negatives / max(1, items - 1)))
    prior = math.log(beta / negatives)
    positive_S, negative_SM = scores.positive_S + prior, scores.negative_SM + prior
    if scores.log_q_M is not None and scores.log_q_S is not None:
        positive_S = positive_S - (scores.log_q_S + math.log(items))
        negative_SM = negative_SM - (scores.log_q_M + math.log(items))
    total_S = beta * functional.softplus(-positive_S) + functional.softplus(negative_SM).sum(1)
    return total_S / (negatives + 1)


def bpr(scores: Scores) -> Tensor:
    """[S]: mean over negatives of -log sigmoid(s_y - s_m) (Rendle et al. 2009)."""
    return functional.softplus(scores.negative_SM - scores.positive_S.unsqueeze(1)).mean(1)


def hardest(scores: Scores, keep: int) -> Scores:
    """Each target's `keep` negatives of the largest logits."""
    kept_SK = scores.negative_SM.topk(min(keep, scores.negative_SM.shape[1]), dim=1).values
    return Scores(scores.positive_S, kept_SK)
