"""A user's own package: an encoder, a loss and a feature for nightrank."""

import torch

from nightrank.ranker.encoders.base import UserEncoder


class RunningMean(UserEncoder):
    """State t of a row is a linear layer over the mean of the row's items up to t."""

    def __init__(self, config, shapes):
        super().__init__()
        self.scale = float(config.encoder.settings["scale"])
        self.out = torch.nn.Linear(config.width, config.width)

    def forward(self, vectors_Td, batch):
        total_Td = torch.cat([torch.zeros_like(vectors_Td[:1]), vectors_Td.cumsum(0)])
        first_T = batch.offsets_B1[:-1][batch.row_T]
        place_T = torch.arange(len(vectors_Td), device=vectors_Td.device)
        mean_Td = (total_Td[place_T + 1] - total_Td[first_T]) / (place_T - first_T + 1).unsqueeze(1)
        return self.out(self.scale * mean_Td)


def hinge(scores, settings):
    margin = settings["margin"]
    return (margin + scores.negative_SM - scores.positive_S.unsqueeze(1)).clamp_min(0).mean(1)


def make_nothing(config, shapes):
    return object()


def purchase_rate(known):
    """Purchases for each view of the last four weeks, as of the day."""
    return 4 * known["purchase_28d"] / (1 + known["view_28d"])


purchase_rate.reads = ("purchase_28d", "view_28d")


def against_the_mean(known):
    """Wrong: a row's number depends on the rows beside it."""
    return known["count_7d"] - known["count_7d"].mean()


against_the_mean.reads = ("count_7d",)
