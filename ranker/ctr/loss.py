"""Binary cross-entropy over the labels that are not NaN. Shapes: B rows, A actions, M members."""

import torch
from torch import Tensor
from torch.nn import functional


def ctr_loss(logits_MBA: Tensor, labels_BA: Tensor, weight_B: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """(weighted loss sum, weight sum), fp32 scalars: add up over steps and ranks, divide once.

    -sum w (y log p + (1 - y) log(1 - p)), p = sigmoid(logit), over the labels that are no NaN, with y moved to
    (1 - smoothing) y + smoothing / 2: the mean over the members of each one's loss.
    """
    labelled_BA = ~torch.isnan(labels_BA)
    wanted_BA = torch.where(labelled_BA, labels_BA, 0.0) * (1 - smoothing) + smoothing / 2
    weight_BA = weight_B.float().unsqueeze(1) * labelled_BA
    wanted_MBA = wanted_BA.expand_as(logits_MBA)
    each_MBA = functional.binary_cross_entropy_with_logits(logits_MBA.float(), wanted_MBA, reduction="none")
    return (each_MBA * weight_BA).sum() / len(logits_MBA), weight_BA.sum()
