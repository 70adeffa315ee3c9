"""What a click ranker is made of: the probability of an action, from the fields of one impression. Imports no torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.config import FrozenConfig

Layers = tuple[Annotated[int, Field(ge=1)], ...]
"""Hidden widths, first to last."""


class EnsembleConfig(FrozenConfig):
    reads_history: ClassVar[bool] = False
    """Its rows must come with the user's history."""
    members: int = Field(1, ge=1)
    """Number of models trained side by side, each with its own weights and tables, on the mean of their losses. The mean of
    their probabilities is served (deep ensembles, Lakshminarayanan et al. 2017)."""


class LrConfig(EnsembleConfig):
    """Logistic regression: one weight per value of a field."""

    name: Literal["lr"] = "lr"


class EmbeddedConfig(EnsembleConfig):
    """What every ranker with an embedding a value shares."""

    width: int = Field(10, ge=1)
    """Width d of a field's embedding."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout after each hidden layer."""
    batch_norm: bool = True
    """Batch norm before each activation. Each rank normalises the rows of its own batch."""


class DnnConfig(EmbeddedConfig):
    """A multilayer perceptron over the concatenated embeddings."""

    name: Literal["dnn"] = "dnn"
    hidden: Layers = Field((400, 400, 400), min_length=1)
    """Hidden widths, first to last."""


class DcnV2Config(EmbeddedConfig):
    """Cross layers x0 * (W x + b) + x (DCN-V2, Wang et al. 2021), beside a deep part or below it."""

    name: Literal["dcnv2"] = "dcnv2"
    crosses: int = Field(3, ge=1)
    """Cross layers."""
    rank: int | None = Field(None, ge=1)
    """W = U V^T of this rank (section 3.2 of the paper); null: a full matrix."""
    experts: int = Field(1, ge=1)
    """With `rank`: number of low-rank experts per layer, mixed by a softmax gate on the layer's input."""
    structure: Literal["parallel", "stacked"] = "parallel"
    """parallel: the deep part beside the cross layers; stacked: it reads their output."""
    hidden: Layers = (400, 400, 400)
    """Hidden widths of the deep part; empty: cross layers only."""

    @model_validator(mode="after")
    def _experts_are_low_rank(self) -> "DcnV2Config":
        if self.experts > 1 and self.rank is None:
            raise ValueError(f"experts {self.experts} needs a rank")
        return self


class DinConfig(EmbeddedConfig):
    """Attention of the shown item over the user's history of items (DIN, Zhou et al. 2018)."""

    name: Literal["din"] = "din"
    reads_history: ClassVar[bool] = True
    attention: Layers = Field((64, 16), min_length=1)
    """Hidden widths of the network that weighs a history's items."""
    softmax: bool = False
    """Normalise the weights of a history to sum to 1. Off: a history that fits the item counts for more (section 4.3)."""
    hidden: Layers = Field((200, 80), min_length=1)
    """Hidden widths of the network that follows."""


class StreamConfig(FrozenConfig):
    """One of FinalMLP's perceptrons."""

    hidden: Layers = Field((400,), min_length=1)
    """Hidden widths, first to last."""
    gate_fields: tuple[str, ...] = ()
    """Fields whose values set the weights of this stream's inputs; empty: learnt weights, the same for every row."""


class FinalMlpConfig(EmbeddedConfig):
    """Two perceptrons over gated inputs, joined by a bilinear form in several heads (FinalMLP, Mao et al. 2023)."""

    name: Literal["finalmlp"] = "finalmlp"
    first: StreamConfig = StreamConfig()
    second: StreamConfig = StreamConfig()
    gates: bool = True
    """Let gates weight the inputs of each stream."""
    gate_hidden: Layers = (400,)
    """Hidden widths of the gates."""
    heads: int = Field(1, ge=1)
    """Heads of the bilinear form that joins the streams."""

    @model_validator(mode="after")
    def _heads_divide_the_streams(self) -> "FinalMlpConfig":
        for stream in (self.first, self.second):
            if stream.hidden[-1] % self.heads:
                raise ValueError(f"the last hidden layer {stream.hidden[-1]} is not a multiple of heads {self.heads}")
        return self


class MmoeConfig(EmbeddedConfig):
    """Several actions at once: shared experts, with a gate and a tower per action (MMoE, Ma et al. 2018)."""

    name: Literal["mmoe"] = "mmoe"
    experts: int = Field(4, ge=1)
    """Experts shared by all actions."""
    expert_hidden: Layers = Field((200,), min_length=1)
    """Hidden widths of an expert."""
    tower_hidden: Layers = (64,)
    """Hidden widths of an action's tower."""


CtrConfig = Annotated[LrConfig | DnnConfig | DcnV2Config | DinConfig | FinalMlpConfig | MmoeConfig, Field(discriminator="name")]


class FieldShape(FrozenConfig):
    """A categorical field and its codes: [0, size), 0 for a value that training has not seen."""

    name: str
    size: int = Field(ge=1)


class NumericShape(FrozenConfig):
    """A number, read as (value - mean) / scale; one that is not known reads as the mean."""

    name: str
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)


class CtrShapes(FrozenConfig):
    """What an impression holds, in the order of a batch's columns."""

    fields: tuple[FieldShape, ...]
    numeric: tuple[NumericShape, ...] = ()
    labels: tuple[str, ...] = Field(("click",), min_length=1)
    """The actions to predict."""
    history: str | None = None
    """The field whose codes, and embeddings, a row's history holds; None: rows come without one."""

    @model_validator(mode="after")
    def _has_named_inputs(self) -> "CtrShapes":
        names = [*(field.name for field in self.fields), *(number.name for number in self.numeric)]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"inputs {names} are empty or contain a name twice")
        if self.history is not None and self.history not in [field.name for field in self.fields]:
            raise ValueError(f"history names the field {self.history}, which is not among the fields")
        return self
