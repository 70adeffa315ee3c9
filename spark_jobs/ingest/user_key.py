"""The key under which user ids are hashed at ingest. It lives outside the lake and is never logged."""

from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError, SafetyRefusal
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import IdSettings

SHORTEST: Final = 16


def user_key(settings: IdSettings, lake: Lake) -> bytes | None:
    """The key's bytes, or None where user ids are kept as they are.

    ConfigError if the file is not set, missing or shorter than 16 bytes; SafetyRefusal if it is inside the lake, where
    whoever can read the hashes could read the key.
    """
    if not settings.hash_users:
        return None
    if settings.key_file is None:
        raise ConfigError("ids.hash_users is on and ids.key_file is not set", "name a file with the key, outside the lake")
    path = Path(settings.key_file).resolve()
    if lake.root.is_local and path.is_relative_to(lake.root.path.resolve()):
        raise SafetyRefusal(f"ids.key_file {path} stands inside the lake", "move the key outside the lake")
    if not path.is_file():
        raise ConfigError(f"ids.key_file {path} does not exist", "make one: `head -c 32 /dev/urandom | base64 > FILE`")
    key = path.read_bytes().strip()
    if len(key) < SHORTEST:
        raise ConfigError(f"ids.key_file {path} holds {len(key)} bytes", f"a key has at least {SHORTEST} bytes")
    return key
