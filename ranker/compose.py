"""RankerConfig -> Ranker. Encoders are registered by name; the rest follows from the configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from nightrank.feature_store.contracts import plugins
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.config.encoders import PluginEncoderConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.encoders.behaviour_text import BehaviourTextEncoder
from nightrank.ranker.encoders.causal_lm import CausalLmEncoder
from nightrank.ranker.encoders.cloze import ClozeEncoder
from nightrank.ranker.encoders.ensemble import EnsembleEncoder
from nightrank.ranker.encoders.factors import FactorsEncoder
from nightrank.ranker.encoders.hstu import HstuEncoder
from nightrank.ranker.encoders.recurrent import RecurrentEncoder
from nightrank.ranker.encoders.towers import TowersEncoder
from nightrank.ranker.encoders.transformer import TransformerEncoder
from nightrank.ranker.heads.dot import DotHead
from nightrank.ranker.heads.mlp import MlpHead
from nightrank.ranker.heads.pairs import PairHead
from nightrank.ranker.heads.transformer import TransformerHead
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.ranker.model import Ranker
from nightrank.ranker.tables.row_table import NewTable
from nightrank.ranker.text.open_tower import open_tower

Head = DotHead | PairHead

ENCODERS: Final[dict[str, Callable[[RankerConfig, ItemShapes], UserEncoder]]] = {
    "transformer": lambda config, shapes: TransformerEncoder(config, shapes.features),
    "gru": lambda config, shapes: RecurrentEncoder(config, shapes.features),
    "lstm": lambda config, shapes: RecurrentEncoder(config, shapes.features),
    "hstu": lambda config, shapes: HstuEncoder(config, shapes.features),
    "bert4rec": lambda config, shapes: ClozeEncoder(config, shapes.features),
    "towers": lambda config, shapes: TowersEncoder(config, shapes.features),
    "mf": lambda config, shapes: FactorsEncoder(config, shapes.users),
    "causal_lm": lambda config, _: CausalLmEncoder(config),
    "bert_behaviour": BehaviourTextEncoder,
    "plugin": lambda config, shapes: _from_plugin(config, shapes),
}
"""name -> constructor. An encoder maps (item vectors [T, d], Batch) to states [T, d]."""


def _from_plugin(config: RankerConfig, shapes: ItemShapes) -> UserEncoder:
    assert isinstance(config.encoder, PluginEncoderConfig)
    encoder = plugins.plugin(plugins.ENCODERS, config.encoder.plugin)(config, shapes)
    if not isinstance(encoder, UserEncoder):
        raise ConfigError(
            f"{config.encoder.plugin} in {plugins.ENCODERS} made a {type(encoder).__name__}, not a UserEncoder",
            "let its class inherit from nightrank.ranker.encoders.base.UserEncoder",
        )
    return encoder


def build_encoder(config: RankerConfig, shapes: ItemShapes) -> UserEncoder:
    """Of as many parts as the ranker has members."""
    build = ENCODERS[config.encoder.name]
    if config.ensemble_size == 1:
        return build(config, shapes)
    one = config.model_copy(update={"width": config.width // config.ensemble_size, "ensemble_size": 1})
    return EnsembleEncoder([build(one, shapes) for _ in range(config.ensemble_size)])


HEADS: Final[dict[str, Callable[[RankerConfig], Head]]] = {"dot": DotHead, "mlp": MlpHead, "transformer": TransformerHead}


def build_head(config: RankerConfig) -> Head:
    return HEADS[config.head.name](config)


class _NoInit(TorchFunctionMode):
    """torch's own initialisers do nothing: weights are drawn from our seed or read from a file, and drawn only once.

    The meta device would do as well, but its first use imports the compiler: 3.6 CPU seconds in every process.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def compose_empty(
    config: RankerConfig, shapes: ItemShapes, device: torch.device | str = "cpu", table: NewTable = nn.Embedding
) -> Ranker:
    """A ranker on `device` with uninitialised weights and inputs: set them before use. `table` makes its table of ids."""
    with torch.device(device), _NoInit():
        return Ranker(config, shapes, build_encoder(config, shapes), build_head(config), table)


def materialise(ranker: Ranker, inputs: ItemInputs) -> Ranker:
    """The same ranker with the inputs filled in."""
    with torch.no_grad():
        ranker.items.fill(inputs)
        ranker.encoder.fill(inputs)
    return ranker


def compose(
    config: RankerConfig,
    inputs: ItemInputs,
    seed: int = 0,
    device: torch.device | str = "cpu",
    text_encoder: Path | None = None,
    user_encoder: Path | None = None,
    table: NewTable = nn.Embedding,
) -> Ranker:
    """A ranker with weights drawn from `seed`: the same on every rank and device. In training mode. `text_encoder` is the model
    folder of the items' texts, needed where it is tuned; `user_encoder` that of the user encoder's pre-trained part."""
    ranker = materialise(compose_empty(config, inputs.shapes, device, table), inputs)
    ranker.init_weights(torch.Generator().manual_seed(seed))
    if user_encoder is not None:
        ranker.encoder.adopt(user_encoder)
    return with_tower(ranker, inputs, text_encoder, seed)


def with_tower(ranker: Ranker, inputs: ItemInputs, text_encoder: Path | None, seed: int = 0) -> Ranker:
    """The same ranker with the text encoder it trains; nothing where its texts are frozen or it has none."""
    tuning = ranker.config.item.text
    if tuning.tunes and ranker.items.text is not None:
        tower = open_tower(text_encoder, tuning, inputs, seed)
        ranker.items.text_tower = tower.to(ranker.items.popularity.device)
    return ranker
