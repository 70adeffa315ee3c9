"""What becomes of a pre-trained text encoder in training. Travels with the weights. Imports no torch."""

from typing import Literal

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class TextTuningConfig(FrozenConfig):
    """A text encoder's cached vectors are taken as they are (`frozen`), low-rank adapters are trained beside its matrices
    (`lora`, Hu et al. 2022, by peft), or all of it is (`full`). Tuned, a step encodes a bounded number of its items anew, with
    a gradient; all others keep their vectors of the last epoch's end."""

    name: Literal["frozen", "lora", "full"] = "frozen"
    rank: int = Field(8, ge=1)
    """lora: rank of the adapters."""
    alpha: int = Field(16, ge=1)
    """lora: the adapters' output is scaled by alpha / rank."""
    items_per_step: int = Field(64, ge=1)
    """Items encoded with a gradient in a step (of each piece of it, on each rank): bounds its memory and its time."""
    batch_tokens: int = Field(16_384, ge=64)
    """Padded tokens encoded at once when all vectors are renewed."""
    gradient_checkpointing: bool = False
    """Compute activations of the encoder again in the backward pass instead of holding them."""

    @property
    def tunes(self) -> bool:
        return self.name != "frozen"
