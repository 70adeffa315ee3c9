"""UserEncoder: what the ranker asks of every encoder of histories.

Shapes: T tokens, d width.
"""

from torch import nn

from ranker.batch import Batch
from ranker.targets import Targets, next_items


class UserEncoder(nn.Module):  # type: ignore[misc]
    """`forward(vectors_Td, batch) -> states [T, d]`: the user after each token, from the item vectors of the tokens."""

    def targets(self, batch: Batch) -> Targets:
        """What a training step asks. Randomness comes from torch's default generator, on the CPU."""
        return next_items(batch)

    def asked(self, batch: Batch) -> Batch:
        """The batch whose last states stand for the lists of `batch`."""
        return batch
