"""What a Hugging Face model folder says of its architecture. Imports no torch."""

import json
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.errors import ConfigError

Architecture = dict[str, Any]


def architecture_of(folder: Path) -> Architecture:
    """What `config.json` of a model folder says, less where it was stored. ConfigError where that is not there."""
    path = folder / "config.json"
    try:
        found: Architecture = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder.name}: config.json cannot be read ({error})", "name a transformers model folder") from None
    if "model_type" not in found:
        raise ConfigError(f"{folder.name}: config.json names no model_type", "name a transformers model folder")
    return {key: value for key, value in found.items() if not key.startswith("_")}
