"""Ridge regression part by part equals that of the whole matrix."""

import pytest
import torch

from nightrank.ranker.ridge import fit_ridge


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(200, 12, generator=generator) * torch.logspace(-3, 3, 12) + torch.linspace(-50, 50, 12)
    features[:, 5] = 7.0
    targets = features[:, :3] @ torch.randn(3, 4, generator=generator) + torch.randn(200, 4, generator=generator) + 9
    return features, targets


def of_the_whole(features: torch.Tensor, targets: torch.Tensor, new: torch.Tensor, penalty: float) -> torch.Tensor:
    """Standardise, solve, predict: all rows in double precision at once."""
    features, targets = features.double(), targets.double()
    mean, scale = features.mean(0), features.std(0, unbiased=False).clamp_min(1e-6)
    known, centre = (features - mean) / scale, targets.mean(0)
    gram = known.T @ known + penalty * len(known) * torch.eye(known.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, known.T @ (targets - centre))
    return (new.double() - mean) / scale @ weights + centre


@pytest.mark.parametrize("size", [1, 7, 64, 200, 1000])
def test_the_map_does_not_depend_on_how_the_rows_are_cut(size):
    features, targets = rows()
    ridge = fit_ridge(lambda: zip(features.split(size), targets.split(size), strict=True), 0.1)
    new = features[:9] + 0.5
    torch.testing.assert_close(ridge(new), of_the_whole(features, targets, new, 0.1), rtol=1e-9, atol=1e-9)
