"""What becomes of a pre-trained text encoder in training. Travels with the weights. Imports no torch."""

from typing import Literal

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class TextTuningConfig(FrozenConfig):
    """How the text encoder is trained: not at all (`frozen`: cached vectors), by low-rank adapters (`lora`, Hu et al. 2022,
    with peft), or completely (`full`). When it is tuned, each step encodes a bounded number of its items again, with a
    gradient. All other items keep their vectors from the end of the last epoch."""

    name: Literal["frozen", "lora", "full"] = "frozen"
    rank: int = Field(8, ge=1)
    """lora: rank of the adapters."""
    alpha: int = Field(16, ge=1)
    """lora: the adapters' output is scaled by alpha / rank."""
    items_per_step: int = Field(64, ge=1)
    """Items encoded with a gradient per step (per piece of a step, on each rank). It limits the step's memory and time."""
    batch_tokens: int = Field(16_384, ge=64)
    """Padded tokens encoded at once when all vectors are computed again."""
    gradient_checkpointing: bool = False
    """Compute the encoder's activations again in the backward pass instead of storing them."""

    @property
    def tunes(self) -> bool:
        return self.name != "frozen"
