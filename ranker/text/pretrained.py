"""Hugging Face models as parts of a ranker: built from an architecture, filled from a folder, fitted with adapters.

The package transformers is imported where one is built, peft where it is tuned by adapters; nothing else needs them.
"""

import os
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.text.architecture import Architecture
from nightrank.ranker.text.config import TextTuningConfig

ADAPTER: Final = "lora_"
BACK: Final = "lora_B"
"""The half of an adapter that starts at zero, so that an untrained adapter changes nothing."""


def empty_model(architecture: Architecture, dropout: bool = False) -> Any:
    """The model without its pooling layer and, unless asked for, without dropout; its weights whatever they were drawn as."""
    from transformers import AutoConfig, AutoModel

    _quiet()
    settings = {key: value for key, value in architecture.items() if key not in ("model_type", "architectures")}
    model = AutoModel.from_config(AutoConfig.for_model(architecture["model_type"], **settings), dtype=torch.float32)
    return model if dropout else _bare(model)


def pretrained_model(folder: Path) -> nn.Module:
    """The folder's model in fp32, without its pooling layer and without dropout. ConfigError where it holds none."""
    from transformers import AutoModel

    _quiet()
    try:
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder.name} holds no model that can be opened: {error}", "name a transformers model folder"
        ) from None
    return _bare(model)


def adopt(model: nn.Module, folder: Path) -> None:
    """The model, adapters and all, has the folder's weights; adapters change nothing yet. What the folder has beyond (word
    embeddings that were taken out) is left; ConfigError where it lacks something."""
    source = pretrained_model(folder).state_dict()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if ADAPTER in name:
                if BACK in name:
                    value.zero_()
                continue
            plain = name.replace(".base_layer.", ".")
            if plain not in source or source[plain].shape != value.shape:
                raise ConfigError(
                    f"{folder.name} has no weight {plain} of shape {list(value.shape)}",
                    "train a full run, or name the previous model",
                )
            value.copy_(source[plain])


def tuned(model: nn.Module, tuning: TextTuningConfig, seed: int) -> nn.Module:
    """The same model with what the tuning trains: everything, or adapters beside its matrices, drawn from the seed."""
    if tuning.name == "lora":
        from peft import LoraConfig, inject_adapter_in_model

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            settings = LoraConfig(
                r=tuning.rank,
                lora_alpha=tuning.alpha,
                lora_dropout=0.0,
                target_modules=_matrices(model),
                fan_in_fan_out=_has_conv1d(model),
            )
            model = inject_adapter_in_model(settings, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(tuning.name == "full" or (tuning.name == "lora" and ADAPTER in name))
    if tuning.gradient_checkpointing and tuning.tunes:
        # Not reentrant: the tokens that come in carry no gradient.
        enable: Any = model.gradient_checkpointing_enable
        enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def _matrices(model: nn.Module) -> list[str]:
    """Names of all linear layers."""
    return sorted(name for name, module in model.named_modules() if isinstance(module, nn.Linear) or _is_conv1d(module))


def _has_conv1d(model: nn.Module) -> bool:
    return any(_is_conv1d(module) for module in model.modules())


def _is_conv1d(module: nn.Module) -> bool:
    """GPT-2 keeps its matrices so, the other way round."""
    return type(module).__name__ == "Conv1D"


def _bare(model: Any) -> nn.Module:
    """Dropout off, so that what is encoded in training is what is cached; a pooling layer would be weights nothing moves."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    bare: nn.Module = model
    return bare


def _quiet() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers.utils import logging

    logging.disable_progress_bar()
