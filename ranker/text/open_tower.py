"""From a model folder and the items' tokens to a text tower that fits a ranker."""

from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.text.config import TextTuningConfig
from nightrank.ranker.text.pretrained import pretrained_model, tuned
from nightrank.ranker.text.tower import TextTower


def open_tower(folder: Path | None, tuning: TextTuningConfig, inputs: ItemInputs, seed: int) -> TextTower:
    """The folder's encoder over the items' texts, with what `tuning` trains; adapters are drawn from the seed.

    ConfigError without a folder or tokens; DataContractError where the encoder is not the one of the cached vectors.
    """
    if folder is None or inputs.tokens is None:
        raise ConfigError(
            f"item.text.name {tuning.name} trains a text encoder, and there is none",
            "set text.encoder, or item.text.name to frozen",
        )
    model = pretrained_model(folder)
    config: Any = model.config
    width, vocabulary = int(config.hidden_size), int(config.vocab_size)
    if width != inputs.shapes.text_width:
        raise DataContractError(
            f"text encoder {folder.name} gives vectors of width {width}, the snapshot has width {inputs.shapes.text_width}",
            "build the training set again with this text.encoder",
        )
    if len(inputs.tokens.flat) and int(inputs.tokens.flat.max()) >= vocabulary:
        raise DataContractError(
            f"text token {int(inputs.tokens.flat.max())} is beyond the {vocabulary} of text encoder {folder.name}",
            "build the training set again with this text.encoder",
        )
    return TextTower(tuned(model, tuning, seed), inputs.tokens, tuning)
