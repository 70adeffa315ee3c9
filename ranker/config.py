"""What a ranker is made of. Travels with the weights, so it says nothing about how a run is executed. Imports no torch."""

from typing import Literal

from pydantic import Field, model_validator

from feature_store.contracts.config import FrozenConfig


class ItemConfig(FrozenConfig):
    """An item's vector is the sum of the parts switched on here that the data has."""

    use_id: bool = True
    use_text: bool = True
    use_categories: bool = True
    use_numeric: bool = True
    id_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of items whose id embedding is left out of a training step, so that text and side features stand alone
    (DropoutNet, Volkovs et al. 2017). Ignored where an item has no other part."""
    input_norm: bool = True
    """LayerNorm on the item vectors as the encoder reads them; the output side keeps them as they are."""


class TransformerConfig(FrozenConfig):
    """A causal transformer over the history (SASRec, Kang & McAuley 2018)."""

    name: Literal["transformer"] = "transformer"
    blocks: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    block: Literal["pre_norm", "gated"] = "pre_norm"
    """gated: residual branches multiplied by a sigmoid gate of their input, SwiGLU inside (LiGR, Borisyuk et al. 2024)."""
    expansion: int = Field(4, ge=1)
    """Width of the feed-forward layer in multiples of the model's."""
    dropout: float = Field(0.2, ge=0, lt=1)
    max_length: int = Field(50, ge=1)
    """Newest tokens of a history that are read in scoring."""
    positions: Literal["from_end", "from_start", "relative", "none"] = "from_end"
    """from_end counts from the newest token, as left padding does; relative is a learnt bias by distance and head."""
    actions: bool = False
    """Add an embedding of each token's action."""
    time_gaps: bool = False
    """Add an embedding of log2 seconds since the token before. Leave it off where the clock is a position."""
    waits: bool = False
    """Add an embedding of log2 seconds until the event a state is asked for: in training most next events go on with the same
    session, and a list is for another day. Leave it off where the clock is a position."""
    wait_served: float = Field(86_400.0, gt=0)
    """With `waits`: seconds after a user's last event for which lists are made and validated; also stands for
    waits that are not known."""


EncoderConfig = TransformerConfig
"""Further encoders join as a union told apart by `name`, and register themselves in `ranker.compose`."""


class HeadConfig(FrozenConfig):
    """How a state and an item become a score: their dot product, or their cosine divided by a temperature."""

    name: Literal["dot"] = "dot"
    normalise: bool = False
    temperature: float = Field(0.05, gt=0)
    """Used with `normalise` only."""
    item_bias: bool = False
    """Add a bias an item, trained from the log of its share of the training events on, so that the vectors hold what a user
    adds to popularity and a rare item is not pushed down through its own (logit adjustment, Menon et al. 2021, section 4)."""
    item_bias_served: float = Field(1.0, ge=0, le=1)
    """Share of the bias in the scores that are served and validated: less of it shows rarer items."""


class RankerConfig(FrozenConfig):
    width: int = Field(128, ge=4)
    """d, of item vectors and of user vectors."""
    item: ItemConfig = ItemConfig()
    encoder: EncoderConfig = TransformerConfig()
    head: HeadConfig = HeadConfig()

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "RankerConfig":
        if self.width % self.encoder.heads:
            raise ValueError(f"width {self.width} is not a multiple of encoder.heads {self.encoder.heads}")
        return self


class LossConfig(FrozenConfig):
    """The training objective. Not part of the weights: a night may use another than the full run."""

    name: Literal["full_softmax", "sampled_softmax"] = "sampled_softmax"
    negatives: int = Field(1024, ge=1)
    """Sampled softmax: negatives a step, shared by all of its targets."""
    sampling: Literal["uniform", "popularity", "mixed"] = "mixed"
    popularity_power: float = Field(0.75, ge=0)
    """Negatives of `popularity` are drawn in proportion to count ** power."""
    mixed_share: float = Field(0.5, ge=0, le=1)
    """Share of popularity in `mixed`; the rest is uniform."""
    chunk_elements: int = Field(4_000_000, ge=1024)
    """Logits held at once by the full softmax."""
