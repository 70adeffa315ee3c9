"""Which items serve as negatives, and with what probability.

Shapes: I1 = items + 1, M negatives.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nightrank.ranker.config.ranker import LossConfig


@dataclass(frozen=True)
class NegativeSampler:
    """Draws ids 1..items with replacement in proportion to q; id 0 is never drawn."""

    probability_I: Tensor
    cumulative_I: Tensor

    @classmethod
    def of(cls, config: LossConfig, popularity_I: Tensor) -> "NegativeSampler":
        """q = share * popularity part + (1 - share) * uniform part; share is 0, 1 or `mixed_share`.

        For `in_batch` q is how often an item is a target: its share of the counted events.
        """
        shares = {"uniform": 0.0, "popularity": 1.0, "in_batch": 1.0}
        share = shares.get(config.sampling, config.mixed_share)
        power = 1.0 if config.sampling == "in_batch" else config.popularity_power
        uniform = torch.ones_like(popularity_I, dtype=torch.float64)
        uniform[0] = 0
        # An item never counted still gets a small part, so that log q is finite for every item that can be drawn.
        powered = popularity_I.double().clamp_min(0.1).pow(power)
        powered[0] = 0
        probability = share * powered / powered.sum() + (1 - share) * uniform / uniform.sum()
        return cls(probability, probability.cumsum(0))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(ids [M], log q [M] fp32). The generator lives on the CPU, so that every device draws the same."""
        uniform = torch.rand(count, generator=generator, dtype=torch.float64).to(self.cumulative_I.device)
        ids = torch.searchsorted(self.cumulative_I, uniform * self.cumulative_I[-1], right=True)
        ids = ids.clamp(1, len(self.cumulative_I) - 1)
        return ids, self.log_q(ids)

    def log_q(self, ids: Tensor) -> Tensor:
        """[len(ids)] fp32."""
        return self.probability_I[ids].log().float()
