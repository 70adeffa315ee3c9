"""What a ranker is made of. Travels with the weights, so it says nothing about how a run is executed. Imports no torch."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.ranker.config.encoders import BehaviourTextConfig, EncoderConfig, TransformerConfig
from nightrank.ranker.text.config import TextTuningConfig


class ItemConfig(FrozenConfig):
    """An item's vector is the sum of the parts that are switched on here and that the data has."""

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
    """Share of items whose id embedding is dropped in a training step, so that the model learns to use text and side features
    alone (DropoutNet, Volkovs et al. 2017). Ignored if an item has no other part."""
    id_shrinkage: float = Field(0.0, ge=0)
    """After training, an id embedding is multiplied by n / (n + this), where n is the number of the item's events in the
    training rows. A rare item then relies on its text and side features (shrinkage as in Bell & Koren 2007). Training uses the
    full embedding: if it were shrunk there too, it would only grow until it is as noisy. Ignored if an item has no other
    part."""
    input_norm: bool = True
    """LayerNorm on the item vectors that the encoder reads; the output side uses them unchanged."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on item vectors: an item has the same mask everywhere in a step, in histories and among candidates."""
    tower: tuple[int, ...] = ()
    """Hidden widths of a multilayer perceptron over the sum of the parts; empty: the sum is the vector."""


class DotConfig(FrozenConfig):
    """The score of a state and an item is their dot product, or their cosine divided by a temperature."""

    name: Literal["dot"] = "dot"
    normalise: bool = False
    """Score by cosine instead of by dot product."""
    temperature: float = Field(0.05, gt=0)
    """Used with `normalise` only."""
    item_bias: bool = False
    """Add a bias per item. It starts at the log of the item's share of the training events and is trained. The vectors then
    hold only what differs from popularity, and a rare item's vector is not pushed down (logit adjustment, Menon et al. 2021,
    section 4)."""
    item_bias_served: float = Field(1.0, ge=0, le=1)
    """Share of the bias that is used in serving and validation; less of it shows rarer items."""


class MlpConfig(FrozenConfig):
    """The score is a perceptron over the concatenated state and item. It is computed pair by pair, so use it for catalogues of
    up to tens of thousands of items."""

    name: Literal["mlp"] = "mlp"
    hidden: int = Field(64, ge=1)
    """Width of the hidden layer."""
    product: bool = False
    """Add the dot product of the hidden values of state and item, as NeuMF does (He et al. 2017). A perceptron takes long to
    learn a dot product (Rendle et al. 2020)."""

    @property
    def item_bias(self) -> bool:
        """Never: popularity is for the perceptron to learn."""
        return False


class TransformerHeadConfig(FrozenConfig):
    """The score is a transformer block over state and item as a sequence, read at the item. It is computed pair by pair and
    costs about ten times as much as `mlp`. Use `init: xavier`, as for `mlp`: with small initial values almost no signal passes
    the head."""

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
    """Width d of item vectors and user vectors."""
    ensemble_size: int = Field(1, ge=1)
    """Number of rankers trained side by side. The width is cut into this many equal parts; each part has its own user encoder
    and its own loss. The mean of their scores is served, which is still one dot product (deep ensembles, Lakshminarayanan et
    al. 2017)."""
    item: ItemConfig = ItemConfig()
    encoder: EncoderConfig = TransformerConfig()
    head: HeadConfig = DotConfig()
    init: Literal["normal", "xavier"] = "normal"
    """Initial values of matrices and tables: N(0, 0.02), or N(0, 2 / (rows + columns)) (Glorot & Bengio 2010)."""

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
    """The training objective. It is not stored with the weights: a night may use another one than the full run."""

    name: Literal["full_softmax", "sampled_softmax", "gbce", "bce", "bpr", "plugin"] = "sampled_softmax"
    """plugin: a loss from another installed package (docs/how-to/plug-ins.md)."""
    plugin: str | None = None
    """Name of the entry point in the group `nightrank.losses`; only with the loss `plugin`."""
    settings: dict[str, Any] = {}
    """Settings passed to the plug-in's loss."""
    negatives: int = Field(1024, ge=1)
    """Negatives per step, shared by all of its targets; with `hard`, the number that each target keeps. Not used by the full
    softmax and `in_batch`."""
    sampling: Literal["uniform", "popularity", "mixed", "in_batch", "hard"] = "mixed"
    """in_batch: the targets of the step's other rows. hard: draws `hard_pool` times as many `mixed` negatives and keeps those
    that score highest for the target (dynamic negative sampling, Zhang et al. 2013), without logQ correction."""
    popularity_power: float = Field(0.75, ge=0)
    """Sampling `popularity` draws negatives in proportion to count ** power."""
    mixed_share: float = Field(0.5, ge=0, le=1)
    """Share of popularity in `mixed`; the rest is uniform."""
    hard_pool: int = Field(4, ge=2)
    """Sampling `hard`: candidates drawn, in multiples of `negatives`."""
    gbce_t: float = Field(0.75, ge=0, le=1)
    """Calibration of gBCE (Petrov & Macdonald 2023): 0 is BCE; 1 acts as if all items were negatives."""
    chunk_elements: int = Field(4_000_000, ge=1024)
    """Logits that the full softmax computes at once, but at least those of 64 targets: smaller products would spend their time
    on reading the item table."""

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
