"""What a ranker is made of. Travels with the weights, so it says nothing about how a run is executed. Imports no torch."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.ranker.config.encoders import BehaviourTextConfig, EncoderConfig, TransformerConfig
from nightrank.ranker.text.config import TextTuningConfig


class ItemConfig(FrozenConfig):
    """An item's vector is the sum of the parts switched on here that the data has."""

    use_id: bool = True
    """Add an embedding of the item's id."""
    use_text: bool = True
    """Add a projection of the item's text vector."""
    text: TextTuningConfig = TextTuningConfig()
    use_categories: bool = True
    """Add the embeddings of the item's categories."""
    use_numeric: bool = True
    """Add a projection of the item's numbers."""
    id_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of items whose id embedding is left out of a training step, so that text and side features stand alone
    (DropoutNet, Volkovs et al. 2017). Ignored where an item has no other part."""
    id_shrinkage: float = Field(0.0, ge=0)
    """Events at which an id counts half once training is over: its embedding enters as n / (n + this) of itself, n being the
    item's events in the training rows, so that a rare item stands on its text and side features (shrinkage as in Bell & Koren
    2007). In training it enters whole: shrunk there too it only grows until it is as noisy. Ignored where an item has no other
    part."""
    input_norm: bool = True
    """LayerNorm on the item vectors as the encoder reads them; the output side keeps them as they are."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the elements of item vectors that a training step leaves out: one mask for an item wherever it stands, in
    histories and among candidates."""
    tower: tuple[int, ...] = ()
    """Hidden widths of a multilayer perceptron over the sum of the parts; none: the sum is the vector."""


class DotConfig(FrozenConfig):
    """How a state and an item become a score: their dot product, or their cosine divided by a temperature."""

    name: Literal["dot"] = "dot"
    normalise: bool = False
    """Score by cosine instead of by dot product."""
    temperature: float = Field(0.05, gt=0)
    """Used with `normalise` only."""
    item_bias: bool = False
    """Add a bias an item, trained from the log of its share of the training events on, so that the vectors hold what a user
    adds to popularity and a rare item is not pushed down through its own (logit adjustment, Menon et al. 2021, section 4)."""
    item_bias_served: float = Field(1.0, ge=0, le=1)
    """Share of the bias in the scores that are served and validated: less of it shows rarer items."""


class MlpConfig(FrozenConfig):
    """How a state and an item become a score: a perceptron over both beside each other. Scored pair by pair, so for catalogues
    of up to some ten thousand items."""

    name: Literal["mlp"] = "mlp"
    hidden: int = Field(64, ge=1)
    """Width of the hidden layer."""
    product: bool = False
    """Add the dot product of the two sides' hidden values, as NeuMF does (He et al. 2017): a perceptron takes long to learn one
    (Rendle et al. 2020)."""

    @property
    def item_bias(self) -> bool:
        """Never: popularity is for the perceptron to learn."""
        return False


class TransformerHeadConfig(FrozenConfig):
    """How a state and an item become a score: a transformer block over the two as a sequence, read at the item. Scored pair by
    pair, some ten times as dear as `mlp`. Wants `init: xavier`, as `mlp` does: little of a small start comes through a head."""

    name: Literal["transformer"] = "transformer"
    hidden: int = Field(32, ge=1)
    """Width of the block."""
    expansion: int = Field(2, ge=1)
    """Width of its feed-forward layer in multiples of `hidden`."""

    @property
    def item_bias(self) -> bool:
        """Never: popularity is for the block to learn."""
        return False


def _dot_by_default(value: Any) -> Any:
    return {"name": "dot", **value} if isinstance(value, dict) else value


HeadConfig = Annotated[
    DotConfig | MlpConfig | TransformerHeadConfig, Field(discriminator="name"), BeforeValidator(_dot_by_default)
]


class RankerConfig(FrozenConfig):
    width: int = Field(128, ge=4)
    """d, of item vectors and of user vectors."""
    ensemble_size: int = Field(1, ge=1)
    """Rankers side by side in one: the width is cut into so many equal parts, each read by a user encoder of its own and
    trained by a loss of its own; what is served is the mean of their scores, still one dot product (deep ensembles,
    Lakshminarayanan et al. 2017)."""
    item: ItemConfig = ItemConfig()
    encoder: EncoderConfig = TransformerConfig()
    head: HeadConfig = DotConfig()
    init: Literal["normal", "xavier"] = "normal"
    """Of matrices and tables: N(0, 0.02), or N(0, 2 / (rows + columns)) (Glorot & Bengio 2010)."""

    @property
    def reads_texts(self) -> bool:
        """Whether training takes the texts' tokens, beside or instead of their cached vectors."""
        return self.tunes_texts or isinstance(self.encoder, BehaviourTextConfig)

    @property
    def tunes_texts(self) -> bool:
        """Whether the encoder of the items' texts is trained."""
        return self.item.use_text and self.item.text.tunes

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "RankerConfig":
        heads = getattr(self.encoder, "heads", 1)
        if self.width % (heads * self.ensemble_size):
            of_members = f" times ensemble_size {self.ensemble_size}" if self.ensemble_size > 1 else ""
            raise ValueError(f"width {self.width} is not a multiple of encoder.heads {heads}{of_members}")
        return self

    @model_validator(mode="after")
    def _ensemble_scores_by_products(self) -> "RankerConfig":
        if self.ensemble_size == 1:
            return self
        if self.head.name != "dot" or self.head.normalise:
            raise ValueError(f"ensemble_size {self.ensemble_size} needs the head dot without normalise")
        if self.encoder.name in ("mf", "bert_behaviour"):
            raise ValueError(
                f"ensemble_size {self.ensemble_size} needs an encoder that reads item vectors, not {self.encoder.name}"
            )
        return self


class LossConfig(FrozenConfig):
    """The training objective. Not part of the weights: a night may use another than the full run."""

    name: Literal["full_softmax", "sampled_softmax", "gbce", "bce", "bpr", "plugin"] = "sampled_softmax"
    """plugin: a loss from another installed package (docs/how-to/plug-ins.md)."""
    plugin: str | None = None
    """Name of the entry point in the group `nightrank.losses`; with the loss `plugin` only."""
    settings: dict[str, Any] = {}
    """What a plug-in's loss itself reads."""
    negatives: int = Field(1024, ge=1)
    """Negatives a step, shared by all of its targets; with `hard` those that each target keeps. Not used by the full softmax
    and `in_batch`."""
    sampling: Literal["uniform", "popularity", "mixed", "in_batch", "hard"] = "mixed"
    """in_batch: the targets of the step's other rows. hard: of `hard_pool` times as many `mixed` negatives those that score
    highest for the target (dynamic negative sampling, Zhang et al. 2013), without logQ correction."""
    popularity_power: float = Field(0.75, ge=0)
    """Negatives of `popularity` are drawn in proportion to count ** power."""
    mixed_share: float = Field(0.5, ge=0, le=1)
    """Share of popularity in `mixed`; the rest is uniform."""
    hard_pool: int = Field(4, ge=2)
    """Sampling `hard`: candidates drawn, in multiples of `negatives`."""
    gbce_t: float = Field(0.75, ge=0, le=1)
    """Calibration of gBCE (Petrov & Macdonald 2023): 0 is BCE, 1 as if all items were negatives."""
    chunk_elements: int = Field(4_000_000, ge=1024)
    """Logits held at once by the full softmax, or those of 64 targets, if that is more: thinner products would read the table
    more often than they use it."""

    @model_validator(mode="after")
    def _plugin_is_named(self) -> "LossConfig":
        if (self.name == "plugin") != (self.plugin is not None):
            raise ValueError(
                "loss.name `plugin` needs loss.plugin (the entry point's name), and loss.plugin needs loss.name `plugin`"
            )
        return self

    @model_validator(mode="after")
    def _hard_is_not_corrected(self) -> "LossConfig":
        if self.name == "full_softmax" and self.sampling in ("in_batch", "hard"):
            raise ValueError(f"loss full_softmax uses every item, so sampling {self.sampling} has no effect; leave it out")
        return self
