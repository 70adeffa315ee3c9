"""Ridge regression by its normal equations, added up part by part: memory does not grow with the number of rows.

Shapes: n rows of a part, F features, d targets.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_SCALE = 1e-6
"""A feature that varies less than this counts as constant."""

Parts = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""The rows, [n, F] and [n, d] at a time, as often as it is called."""


@dataclass(frozen=True)
class Ridge:
    """A fitted map from features to targets."""

    mean_F: Tensor
    scale_F: Tensor
    weights_Fd: Tensor
    centre_d: Tensor

    def __call__(self, features_nF: Tensor) -> Tensor:
        """[n, d], float64."""
        return (features_nF.double() - self.mean_F) / self.scale_F @ self.weights_Fd + self.centre_d


def fit_ridge(parts: Parts, penalty: float) -> Ridge:
    """The map of standardised features whose intercept is the mean of the targets. `penalty` is per row, for a feature of
    variance 1. The rows are processed twice: for the means, and for the products of what is left without them."""
    rows, mean_F, centre_d = _means(parts)
    gram_FF, cross_Fd = _products(parts, mean_F, centre_d)
    scale_F = (gram_FF.diagonal() / rows).sqrt().clamp_min(LEAST_SCALE)
    gram_FF = gram_FF / scale_F / scale_F.unsqueeze(1)
    gram_FF.diagonal().add_(penalty * rows)
    weights_Fd: Tensor = torch.linalg.solve(gram_FF, cross_Fd / scale_F.unsqueeze(1))
    return Ridge(mean_F, scale_F, weights_Fd, centre_d)


def _means(parts: Parts) -> tuple[int, Tensor, Tensor]:
    rows, sums = 0, [torch.zeros(()), torch.zeros(())]
    for part in parts():
        rows += len(part[0])
        sums = [total + values.double().sum(0) for total, values in zip(sums, part, strict=True)]
    return rows, sums[0] / rows, sums[1] / rows


def _products(parts: Parts, mean_F: Tensor, centre_d: Tensor) -> tuple[Tensor, Tensor]:
    gram_FF = mean_F.new_zeros(len(mean_F), len(mean_F))
    cross_Fd = mean_F.new_zeros(len(mean_F), len(centre_d))
    for features_nF, targets_nd in parts():
        centred_nF = features_nF.double() - mean_F
        gram_FF.addmm_(centred_nF.T, centred_nF)
        cross_Fd.addmm_(centred_nF.T, targets_nd.double() - centre_d)
    return gram_FF, cross_Fd
