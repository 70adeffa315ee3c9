"""UserEncoder: what the ranker asks of every encoder of histories.

Shapes: T tokens, d width.
"""

from pathlib import Path
from typing import ClassVar

from torch import nn

from nightrank.ranker.batch import Batch
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.targets import Targets, next_items


class UserEncoder(nn.Module):
    """`forward(vectors_Td, batch) -> states [T, d]`: the user after each token, from the item vectors of the tokens."""

    pretrained: ClassVar[tuple[str, ...]] = ()
    """Prefixes of parameters that come from a model trained elsewhere, and move more slowly."""

    def fill(self, inputs: ItemInputs) -> None:
        """Takes from the inputs what the encoder itself reads of items."""

    def adopt(self, folder: Path) -> None:
        """Takes the weights of a pre-trained model, where there is one inside."""

    def targets(self, batch: Batch) -> Targets:
        """What a training step asks. Randomness comes from torch's default generator, on the CPU."""
        return next_items(batch)

    def query_batch(self, batch: Batch) -> Batch:
        """The batch whose last states stand for the lists of `batch`."""
        return batch
